package kafkaside

import (
	"container/list"
	"sync"
	"time"

	"github.com/carga-ev/carga/bridge/route"
)

// Books count what is owed to Kafka: everything that came in order, not the
// latest values.
//
// Invariant: Accepted = Forwarded + DeadLetters + Buffered at every moment.
type Books struct {
	Accepted    int64 // since the start
	Forwarded   int64 // Kafka took it where it belongs
	DeadLetters int64 // Kafka took it as a dead letter
	Buffered    int64 // owed
	// Oldest is when the oldest buffered one came; zero when there is none.
	Oldest time.Time
	// LastDeadLetter says where the last dead letter came from, and why.
	LastDeadLetter string
}

// ending is how what was owed ended.
type ending int

const (
	forwarded ending = iota
	deadLetter
	withdrawn // it was not taken over after all
)

// ledger keeps the Books.
type ledger struct {
	mu sync.Mutex
	// mu guards everything that follows.
	books Books
	owed  *list.List // the times of what is buffered, in the order of coming
}

func newLedger() *ledger { return &ledger{owed: list.New()} }

// accept books one message and returns how to book its end; only the first
// call of that counts.
func (l *ledger) accept(at time.Time) (end func(ending)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books.Accepted++
	l.books.Buffered++
	entry := l.owed.PushBack(at)
	return func(how ending) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if entry == nil {
			return
		}
		l.owed.Remove(entry)
		entry = nil
		l.books.Buffered--
		switch how {
		case forwarded:
			l.books.Forwarded++
		case deadLetter:
			l.books.DeadLetters++
		case withdrawn:
			l.books.Accepted--
		}
	}
}

// why notes why the dead letter that ends now is one.
func (l *ledger) why(words string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.books.LastDeadLetter = words
}

func (l *ledger) read() Books {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.books
	if e := l.owed.Front(); e != nil {
		b.Oldest, _ = e.Value.(time.Time)
	}
	return b
}

// debts are what is owed, each once.
type debts struct {
	mu sync.Mutex
	// mu guards everything that follows.
	owed    route.Owed
	repeats int64
}

func (d *debts) take(e *route.Decision, done func()) (debt *route.Debt, earlier func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if debt, earlier = d.owed.Take(e, done); debt == nil {
		d.repeats++
	}
	return debt, earlier
}

func (d *debts) end(debt *route.Debt) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.owed.End(debt)
}

func (d *debts) repeated() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.repeats
}
