//go:build !amd64

package cdr

// scan is scanGo where nobody wrote it for the processor.
func scan(b []byte, from, blocks int, comma byte, m *marks, n int) (int, int, bool) {
	return scanGo(b, from, blocks, comma, m, n)
}

// numbers is numbersGo where nobody wrote it for the processor.
func numbers(b []byte, p *places, list []pick, width int, out *numbersRead) {
	numbersGo(b, p, list, out)
}
