//go:build race

package account

func init() { racing = true }
