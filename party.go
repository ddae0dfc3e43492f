package ringwall

// Part is what a party does. A party is what it does: one organisation may
// play several parts, and an incident is projected to each by its part.
type Part string

const (
	PartOperator     Part = "operator"      // a carrier or virtual operator
	PartIntermediary Part = "intermediary"  // passes SIM cards on
	PartPointOfSale  Part = "point-of-sale" //
	PartConsumer     Part = "consumer"      //
	PartManufacturer Part = "manufacturer"  // builds the device
	PartProvider     Part = "provider"      // runs a service over devices
	PartIntegrator   Part = "integrator"    // installs them
	PartOwner        Part = "owner"         // the end user of the device
	PartApplication  Part = "application"   // application provider
	PartEnterprise   Part = "enterprise"    // the operator's customer
	PartAuditor      Part = "auditor"       // may read, may not act
	PartPlatform     Part = "platform"      // runs this platform: organisations, users, signing keys
)

// Parts lists all parts.
var Parts = []Part{
	PartOperator, PartIntermediary, PartPointOfSale, PartConsumer, PartManufacturer, PartProvider,
	PartIntegrator, PartOwner, PartApplication, PartEnterprise, PartAuditor, PartPlatform,
}

// Party is one part that one subject plays in one organisation.
type Party struct {
	Subject string `json:"subject"` // usr_…, tok_… or gw_…
	Org     OrgID  `json:"org"`
	Part    Part   `json:"part"`
}
