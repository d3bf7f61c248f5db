package membucket_test

import (
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

func TestBucket(t *testing.T) {
	objecttest.Bucket(t, func(*testing.T) object.Bucket { return membucket.New() })
}

func TestBucketBehindFaults(t *testing.T) {
	objecttest.Bucket(t, func(*testing.T) object.Bucket { return objecttest.NewFaults(membucket.New()) })
}
