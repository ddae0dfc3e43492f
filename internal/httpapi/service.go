package httpapi

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Service is everything that the faces ask of the platform: the HTTP API and
// the console show it, the assembly satisfies it.
//
// Every method that takes an Actor authorises that actor itself and answers
// only what belongs to the actor's organisation. What is not the actor's is
// answered with ringwall.NotFound, never with Forbidden, so that an id of
// another organisation cannot be told from an id that does not exist.
// Forbidden says that the actor's parts do not allow the act.
//
// All methods may be called concurrently. Answers belong to the caller, who may
// keep them but does not change them. Lists come newest first unless said
// otherwise.
type Service interface {
	Fleet
	Devices
	FlowReports
	Assessments
	Remedials
	Tunnels
	Gateways
	Policies
	Groups
	Sites
	SIMs
	SIMUse
	UsageRules
	Warnings
	Incidents
	Responses
	People
	Trail
	Stream
	Sessions
}

// Paging says which page of a list is wanted.
type Paging struct {
	Cursor string // Next of the page before; "" = the first page
	Limit  int    // most items on the page; 0 = the service's choice, never above MaxPage
}

// Limits of a page.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Fleet answers what is seen from above, and runs the demo's attacks.
type Fleet interface {
	Overview(ctx context.Context, a audit.Actor) (api.Overview, error)
	// Timeline answers the newest entries about one subject before a time, all
	// of them when before is zero, newest first. A limit of 0 is DefaultPage.
	Timeline(ctx context.Context, a audit.Actor, subject ringwall.Subject, before time.Time, limit int) ([]api.TimelineEntry, error)
	// DemoAttack starts the named attack of the demo on an actor of the range,
	// "" for the attack's usual victim. It returns when the attack has started;
	// it answers Unavailable where no demo runs.
	DemoAttack(ctx context.Context, a audit.Actor, attack, on string) error
}

// DeviceFilter narrows a list of devices; zero fields do not.
type DeviceFilter struct {
	Text     string // part of the name, vendor, model, MAC or IP
	Gateway  ringwall.GatewayID
	Type     string
	Grade    *ringwall.Grade
	Trust    *ringwall.Trust
	Presence *ringwall.Presence
	Enrolled *bool
}

// FlowQuery narrows a device's flow reports; zero fields do not.
type FlowQuery struct {
	From, To time.Time
	Verdict  string // "allowed", "refused" or "would-refuse"
	Limit    int
}

// Devices are the things that are guarded.
type Devices interface {
	// Devices lists by name.
	Devices(ctx context.Context, a audit.Actor, f DeviceFilter, p Paging) (api.Page[api.Device], error)
	Device(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.Device, error)
	// CreateDevice makes a device that is known by its SIM alone.
	CreateDevice(ctx context.Context, a audit.Actor, in api.DeviceCreate) (api.Device, error)
	// PatchDevice changes a device whose version is still the one given, and
	// answers Conflict otherwise; version 0 takes any.
	PatchDevice(ctx context.Context, a audit.Actor, id ringwall.DeviceID, version uint64, p api.DevicePatch) (api.Device, error)
	Flows(ctx context.Context, a audit.Actor, id ringwall.DeviceID, q FlowQuery) ([]api.FlowRow, error)
}

// Assessments are what devices were graded by.
type Assessments interface {
	// AssessDevice starts an assessment and returns its id at once. The result
	// is there, under that id, when EventAssessment tells of it; before that
	// Assessment answers Unavailable.
	AssessDevice(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (ringwall.AssessID, error)
	// Assessments lists those of one device.
	Assessments(ctx context.Context, a audit.Actor, id ringwall.DeviceID, p Paging) (api.Page[api.Assessment], error)
	Assessment(ctx context.Context, a audit.Actor, id ringwall.AssessID) (api.Assessment, error)
	// SubmitAssessment stores an assessment that was made elsewhere, such as by
	// "ringwall assess". Findings are taken, the grade is reckoned again.
	SubmitAssessment(ctx context.Context, a audit.Actor, in api.Assessment) (api.Assessment, error)
	// SubmitExamination keeps what one source found out about a device and
	// answers the assessment that follows from all that stands.
	SubmitExamination(ctx context.Context, a audit.Actor, id ringwall.DeviceID, x api.Examination) (api.Assessment, error)
	// Examinations lists the standing examinations of a device, by source.
	Examinations(ctx context.Context, a audit.Actor, id ringwall.DeviceID) ([]api.Examination, error)
	// DropExamination takes back what one source said.
	DropExamination(ctx context.Context, a audit.Actor, id ringwall.DeviceID, source string) error
	// Report writes an assessment in a format for others: "html", "pdf", "sarif",
	// "oscal", "cyclonedx", "csv" or "bundle" (signed evidence, to be graded again
	// anywhere). The language is "en" or "zh".
	Report(ctx context.Context, a audit.Actor, id ringwall.AssessID, format, language string) (api.Report, error)
	// FleetReport compares the devices of the organisation: "html" or "csv".
	FleetReport(ctx context.Context, a audit.Actor, format, language string) (api.Report, error)
	// Makers scores manufacturers by their devices here.
	Makers(ctx context.Context, a audit.Actor) ([]api.MakerScore, error)
	AssessSettings(ctx context.Context, a audit.Actor) (api.AssessSettings, error)
	PutAssessSettings(ctx context.Context, a audit.Actor, in api.AssessSettings) (api.AssessSettings, error)
	// Questionnaire asks about a device, with what was answered so far.
	Questionnaire(ctx context.Context, a audit.Actor, id ringwall.DeviceID, language string) (api.Questionnaire, error)
	// SaveAnswers keeps answers, those given and no others. It answers Conflict
	// when somebody else has answered meanwhile.
	SaveAnswers(ctx context.Context, a audit.Actor, id ringwall.DeviceID, language string, in api.Answers) (api.Questionnaire, error)
	// SubmitAnswers makes the answers so far a declaration.
	SubmitAnswers(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.Assessment, error)
}

// RemedialFilter narrows a list of tasks; zero fields do not.
type RemedialFilter struct {
	Device ringwall.DeviceID
	Status string
	Party  ringwall.Part
}

// Remedials are the tasks that would better grades.
type Remedials interface {
	Remedials(ctx context.Context, a audit.Actor, f RemedialFilter, p Paging) (api.Page[api.Remedial], error)
	PatchRemedial(ctx context.Context, a audit.Actor, id ringwall.RemedialID, p api.RemedialPatch) (api.Remedial, error)
	// DoRemedial does what Ringwall can do itself, and looks whether it helped.
	DoRemedial(ctx context.Context, a audit.Actor, id ringwall.RemedialID) (api.RemedialDone, error)
}

// Gateways are the enforcement points.
type Gateways interface {
	Gateways(ctx context.Context, a audit.Actor, p Paging) (api.Page[api.Gateway], error)
	Gateway(ctx context.Context, a audit.Actor, id ringwall.GatewayID) (api.Gateway, error)
	PatchGateway(ctx context.Context, a audit.Actor, id ringwall.GatewayID, p api.GatewayPatch) (api.Gateway, error)
	// FindGateways lists by name, all that the filter means.
	FindGateways(ctx context.Context, a audit.Actor, f GatewayFilter) ([]api.Gateway, error)
	// CreateEnrolToken makes a one-time token for one gateway. The token itself
	// is in this answer and nowhere else.
	CreateEnrolToken(ctx context.Context, a audit.Actor) (api.EnrolToken, error)
	// Enrol takes no actor: the token in the request is the credential. It
	// answers Unverified for one that is wrong, used or expired, without saying
	// which.
	Enrol(ctx context.Context, req api.EnrolRequest) (api.EnrolAnswer, error)
}

// SIMs are the cards.
type SIMs interface {
	SIMs(ctx context.Context, a audit.Actor, p Paging) (api.Page[api.SIM], error)
	SIM(ctx context.Context, a audit.Actor, id ringwall.SIMID) (api.SIM, error)
	CreateSIM(ctx context.Context, a audit.Actor, in api.SIMCreate) (api.SIM, error)
}

// SIMFilter narrows a list of cards; zero fields do not.
type SIMFilter struct {
	State    string
	Customer string
	Tariff   string
	Seller   string
	Area     string
	NoDevice bool
	// Separated are in other equipment than they are bound to, Silent were used and
	// are not any more, Never were not used at all.
	Separated, Silent, Never bool
}

// SIMAlertFilter narrows a list of what rules said of cards; zero fields do not.
type SIMAlertFilter struct {
	SIM      ringwall.SIMID
	Customer string
	Rule     string
	Area     string
	Loud     bool // those that were not kept quiet
}

// SIMUse is what cards are used for, and what that is judged by.
type SIMUse interface {
	// SIMCard answers all that is known of one card, its numbers masked.
	SIMCard(ctx context.Context, a audit.Actor, id ringwall.SIMID) (api.SIMCard, error)
	// RevealSIM answers the numbers in clear, with a reason and seldom: Unavailable
	// when it was done too often.
	RevealSIM(ctx context.Context, a audit.Actor, id ringwall.SIMID, in api.SIMReveal) (api.SIMNumbers, error)
	FindSIMs(ctx context.Context, a audit.Actor, f SIMFilter, p Paging) (api.Page[api.SIM], error)
	PatchSIM(ctx context.Context, a audit.Actor, id ringwall.SIMID, p api.SIMPatch) (api.SIM, error)
	// CreateSIMs registers each card of a batch that is good; when a batch of one is
	// not, that is the error.
	CreateSIMs(ctx context.Context, a audit.Actor, in api.SIMBatch) (api.SIMBatchAnswer, error)
	SIMAlerts(ctx context.Context, a audit.Actor, f SIMAlertFilter, p Paging) (api.Page[api.SIMAlert], error)
	// DecideSIMAlert takes what somebody makes of an alert, and may make an exception
	// of it in the same act.
	DecideSIMAlert(ctx context.Context, a audit.Actor, id ringwall.AlertID, in api.AlertDecision) (api.SIMAlert, error)
	SIMFleet(ctx context.Context, a audit.Actor) (api.SIMFleet, error)
	// DevicesWithoutSIM lists by id.
	DevicesWithoutSIM(ctx context.Context, a audit.Actor, p Paging) (api.Page[api.Device], error)
	// UsageAreas lists by name.
	UsageAreas(ctx context.Context, a audit.Actor, p Paging) (api.Page[api.UsageArea], error)
	// PutUsageAreas replaces the table, or adds to it, and answers how many came.
	PutUsageAreas(ctx context.Context, a audit.Actor, areas []api.UsageArea, add bool) (int, error)
	// Credits answers the least first; the kind is "customer" or "seller".
	Credits(ctx context.Context, a audit.Actor, kind string) ([]api.Credit, error)
	Credit(ctx context.Context, a audit.Actor, kind, name string) (api.Credit, error)
}

// UsageRules are what usage records are judged by.
type UsageRules interface {
	UsageRules(ctx context.Context, a audit.Actor) ([]api.UsageRule, error)
	// AllUsageSettings answers the newest version of each.
	AllUsageSettings(ctx context.Context, a audit.Actor) ([]api.UsageSettings, error)
	// UsageSettings answers the versions for a customer and tariff, newest first;
	// none where nobody has said anything.
	UsageSettings(ctx context.Context, a audit.Actor, customer, tariff string) ([]api.UsageSettings, error)
	PutUsageSettings(ctx context.Context, a audit.Actor, in api.UsageSettings) ([]api.UsageSettings, error)
	// UndoUsageSettings goes back to the version before, as a version of its own.
	UndoUsageSettings(ctx context.Context, a audit.Actor, customer, tariff string) ([]api.UsageSettings, error)
	// TryUsageSettings tells what settings would have changed, and changes nothing.
	TryUsageSettings(ctx context.Context, a audit.Actor, in api.UsageTry) (api.UsageTrial, error)
	// Exceptions lists those of a card, or all; live only those that have not ended.
	Exceptions(ctx context.Context, a audit.Actor, sim ringwall.SIMID, live bool, p Paging) (api.Page[api.UsageException], error)
	CreateException(ctx context.Context, a audit.Actor, in api.ExceptionCreate) (api.UsageException, error)
	// EndException answers Conflict for one that has ended.
	EndException(ctx context.Context, a audit.Actor, id ringwall.ExceptionID) (api.UsageException, error)
	IMEIPools(ctx context.Context, a audit.Actor) ([]api.IMEIPool, error)
	PutIMEIPool(ctx context.Context, a audit.Actor, in api.IMEIPool) (api.IMEIPool, error)
	// DropIMEIPool answers Conflict when settings name it.
	DropIMEIPool(ctx context.Context, a audit.Actor, name string) error
}

// Warnings are what parties are told, by signed HTTP requests.
type Warnings interface {
	WarningRoutes(ctx context.Context, a audit.Actor) ([]api.WarningRoute, error)
	// PutWarningRoute makes a route (id ""), whose secret is in this answer and
	// nowhere else, or changes one.
	PutWarningRoute(ctx context.Context, a audit.Actor, id ringwall.RouteID, in api.WarningRoutePut) (api.WarningRoute, error)
	DropWarningRoute(ctx context.Context, a audit.Actor, id ringwall.RouteID) error
	// TestWarningRoute puts a warning of nothing on its way.
	TestWarningRoute(ctx context.Context, a audit.Actor, id ringwall.RouteID) (api.Delivery, error)
	Deliveries(ctx context.Context, a audit.Actor, route ringwall.RouteID, p Paging) (api.Page[api.Delivery], error)
}

// IncidentFilter narrows a list of incidents; zero fields do not.
type IncidentFilter struct {
	Open    bool // only those that are neither resolved nor closed
	Subject ringwall.Subject
}

// Incidents are the explained stories of attacks.
type Incidents interface {
	// Incidents lists without the alerts of each.
	Incidents(ctx context.Context, a audit.Actor, f IncidentFilter, p Paging) (api.Page[api.Incident], error)
	Incident(ctx context.Context, a audit.Actor, id ringwall.IncidentID) (api.Incident, error)
	PatchIncident(ctx context.Context, a audit.Actor, id ringwall.IncidentID, p api.IncidentPatch) (api.Incident, error)
}

// Decision is what a person decides of a response.
type Decision string

// Decisions.
const (
	Approve Decision = "approve" // do what was proposed
	Decline Decision = "decline" // do not
	Undo    Decision = "undo"    // take back what was done
)

// ResponseFilter narrows a list of responses; zero fields do not.
type ResponseFilter struct {
	Status string
	Target ringwall.Subject
}

// Responses are acts on devices and SIMs.
type Responses interface {
	Responses(ctx context.Context, a audit.Actor, f ResponseFilter, p Paging) (api.Page[api.Response], error)
	// CreateResponse records a response, then does it. The answer may still say
	// "doing"; EventResponse tells how it ended.
	CreateResponse(ctx context.Context, a audit.Actor, in api.ResponseCreate) (api.Response, error)
	// DecideResponse answers Conflict when the response is past that decision.
	DecideResponse(ctx context.Context, a audit.Actor, id ringwall.ResponseID, d Decision) (api.Response, error)
}

// People are users, what they may do, and the tokens they made.
type People interface {
	Users(ctx context.Context, a audit.Actor) ([]api.User, error)
	CreateUser(ctx context.Context, a audit.Actor, in api.UserCreate) (api.User, error)
	Parties(ctx context.Context, a audit.Actor) ([]ringwall.Party, error)
	// Tokens lists the actor's organisation's API tokens without their secrets.
	Tokens(ctx context.Context, a audit.Actor) ([]api.APIToken, error)
	CreateToken(ctx context.Context, a audit.Actor, in api.TokenCreate) (api.APIToken, error)
	DeleteToken(ctx context.Context, a audit.Actor, id ringwall.TokenID) error
}

// Trail is the record of acts.
type Trail interface {
	// Audit answers the newest entries before a time, all when it is zero.
	Audit(ctx context.Context, a audit.Actor, before time.Time, limit int) ([]api.AuditEntry, error)
}

// Stream tells of changes as they happen.
type Stream interface {
	// Events answers the events of the actor's organisation from now on. The
	// channel is closed when ctx ends, or earlier when the reader is too slow:
	// a reader that needs everything asks again and reads the timeline.
	Events(ctx context.Context, a audit.Actor) (<-chan ringwall.Event, error)
}

// Session is a login of a person.
type Session struct {
	Secret  string // goes into the cookie, and nowhere else
	User    api.User
	Expires time.Time
}

// Sessions turn credentials into actors. A credential that does not hold is
// answered with Unverified and the same text whatever is wrong with it.
type Sessions interface {
	Login(ctx context.Context, name, password string) (Session, error)
	// Logout ends a session; it is no error when there was none.
	Logout(ctx context.Context, secret string) error
	ActorOfSession(ctx context.Context, secret string) (audit.Actor, error)
	ActorOfToken(ctx context.Context, token string) (audit.Actor, error)
}
