package hal

// BareBoard answers ErrNotFitted for every optional device of a Board. An
// implementation embeds it and replaces what it has.
type BareBoard struct{}

// EStop implements Board.
func (BareBoard) EStop() (EStop, error) { return nil, ErrNotFitted }

// Keeper implements Board.
func (BareBoard) Keeper() (Keeper, error) { return nil, ErrNotFitted }

// Reader implements Board.
func (BareBoard) Reader() (TokenReader, error) { return nil, ErrNotFitted }

// Panel implements Board.
func (BareBoard) Panel() (FrontPanel, error) { return nil, ErrNotFitted }

// Watchdog implements Board.
func (BareBoard) Watchdog() (Watchdog, error) { return nil, ErrNotFitted }

// Clock implements Board.
func (BareBoard) Clock() (Clock, error) { return nil, ErrNotFitted }

// BareConnector answers ErrNotFitted for every optional device of a Connector.
// An implementation embeds it and replaces what it has.
type BareConnector struct{}

// Lock implements Connector.
func (BareConnector) Lock() (Lock, error) { return nil, ErrNotFitted }

// Proximity implements Connector.
func (BareConnector) Proximity() (Proximity, error) { return nil, ErrNotFitted }

// GroundFault implements Connector.
func (BareConnector) GroundFault() (GroundFault, error) { return nil, ErrNotFitted }

// Thermal implements Connector.
func (BareConnector) Thermal() (Thermal, error) { return nil, ErrNotFitted }
