package badgerkv

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// badgerLog takes Badger's messages. Its Info is chatter to an operator.
type badgerLog struct {
	log *slog.Logger

	mu   sync.Mutex
	lost string // what Badger said when it left out a table
}

func (l *badgerLog) write(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "badger", "msg", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l *badgerLog) Errorf(format string, args ...any) {
	if msg := fmt.Sprintf(format, args...); strings.HasPrefix(msg, "Ignoring table") {
		l.mu.Lock()
		l.lost = msg
		l.mu.Unlock()
	}
	l.write(slog.LevelError, format, args)
}

func (l *badgerLog) Warningf(format string, args ...any) { l.write(slog.LevelWarn, format, args) }
func (l *badgerLog) Infof(format string, args ...any)    { l.write(slog.LevelDebug, format, args) }
func (l *badgerLog) Debugf(format string, args ...any)   { l.write(slog.LevelDebug, format, args) }

// leftOut is the message about a table that Badger left out, or "".
func (l *badgerLog) leftOut() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}
