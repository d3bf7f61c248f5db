// Package crash holds the tests that kill Shoebox, fill its disk, cut its power, damage
// its files and break its bucket, and then look whether all that was acknowledged is
// there. It has no code of its own. deploy/durability.md tells what each test shows, and
// the command that repeats it with more trials.
package crash
