package badgerkv

import (
	"os"
	"path/filepath"
)

// inUse says whether a process has the store in dir open: Badger keeps a file
// that is removed with the process.
func inUse(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "LOCK"))
	return err == nil
}
