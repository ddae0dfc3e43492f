package cli

import "fmt"

// agentError carries the status of the gateway's own command line, which has
// said everything already.
type agentError int

func (e agentError) Error() string { return fmt.Sprintf("the gateway ended with status %d", int(e)) }
