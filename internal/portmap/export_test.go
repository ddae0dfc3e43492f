package portmap

// Walk, Services, ParseSearch, NATPMP, PCP are the parsers, for fuzzing.
var (
	Walk        = walk
	Services    = services
	ParseSearch = parseSearch
	NATPMP      = natpmpResult
	PCP         = pcpAnswer
)
