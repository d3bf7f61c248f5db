// Package sim checks a backend.Library against a model of what WebDAV and S3 promise,
// while the bucket and the index fail, the process dies, and the clock is a fake one.
// It has no code of its own, only tests:
//
//	go test ./backend/sim                     2,000 histories
//	go test ./backend/sim -sim.seeds 100000   more of them
//	go test ./backend/sim -sim.seed 4711 -v   one of them, with its trace
//
// A history is made of nothing but its seed: the operations of several clients, the
// time each call of the store takes, which calls fail and how, when the process dies
// and what is left of its index. Clients work at once. Each has a library of its own,
// so that the model can say exactly what it must see; registers that all of them
// write are checked for linearizability.
//
// An operation that ended without a verdict may have been done, not been done, or may
// yet come to light, but whole: the model then goes on with both worlds, until what
// is seen rules one of them out.
package sim
