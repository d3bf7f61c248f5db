//go:build unix

package render

// Confine is for the child that tests try to break out of.
func Confine(memory int64) error { return confine(settings{Memory: memory, CPU: 60}) }

// Children are the processes of the idle children.
func (p *Pool) Children() (pids []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		pids = append(pids, c.process.Pid)
	}
	return pids
}

// Free is how many bytes of room there are.
func (p *Pool) Free() int64 {
	for n := p.opt.Total; n > 0; n-- {
		if p.room.TryAcquire(n) {
			p.room.Release(n)
			return n
		}
	}
	return 0
}

// HasLibheif says whether the system's libheif is used.
func HasLibheif() bool { return libheif() }
