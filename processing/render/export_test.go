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
