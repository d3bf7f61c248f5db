package memkv_test

import (
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

func TestStore(t *testing.T) {
	kvtest.Store(t, func(*testing.T) kv.Store { return memkv.New() })
}
