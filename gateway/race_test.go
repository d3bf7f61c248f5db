//go:build race

package gateway_test

func init() { racing = true }
