// Package job is the durable queue: rows of the index, leased, retried, and put
// aside when they keep failing.
package job
