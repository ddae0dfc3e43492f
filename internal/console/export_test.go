package console

// Vendored lists the files that others wrote with their hashes, for a test.
func Vendored() map[string]string { return vendored() }
