// Package cards decides what a card does that is presented at a charging point:
// it begins a session, ends one, is refused, or Central is asked.
//
// It is pure. Step is total and deterministic; the shell owns the State, passes
// what the reader and Central report as events, and performs the effects. A card is
// known by the hash of its token alone.
//
// # A card
//
// The first rule that applies decides:
//
//  1. The card presented again within SameTap is the same tap: nothing.
//  2. A session that this card began ends (stop reason local). While the session
//     waits for the plug, nothing: it is under way.
//  3. The local list has the card, and it is not past its end: it charges. An end
//     needs a clock, so without one such a card is not known.
//  4. With a connection Central is asked (authorization_requested), and its AUTHORIZE
//     decides within Policy.Wait.
//  5. Without a connection, or when Central does not answer, the cache of Central's
//     answers decides, and then the policy for that case.
//
// # A card that may charge
//
// It ends the session of its driver that no card began, if there is one: the driver
// began it by other means. Otherwise it begins a session at a connector that is free
// and not reserved for another driver. Of those, in this order: one that is reserved
// for the driver and plugged in, one that is plugged in, one that is reserved for the
// driver, the only one. Of several that are plugged in it is the one that was plugged
// in last. With several and none plugged in there is no choice: plug in first.
//
// # What is kept
//
// Saved is the fold of records (Replay): the local list, the cache, and the requests
// whose answers would change the cache. It is in the checkpoint of the journal.
package cards
