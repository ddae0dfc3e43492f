package ts32298

import "github.com/ringwall/ringwall/cdr"

// action is what is made of a field.
type action uint8

const (
	skip       action = iota
	kindOf            // RecordType
	imsi              // TBCD
	imei              // TBCD
	begin             // TimeStamp: when it was opened or answered
	early             // TimeStamp: when it was asked for, taken when nothing better is there
	duration          // seconds
	cause             // CauseForRecClosing, CauseForTerm
	sequence          // number of a partial record
	local             // LocalSequenceNumber
	charging          // ChargingID
	node              // name of the recorder
	entity            // number of the recorder (AddressString)
	apn               // name of the access point
	address           // of the card (PDPAddress, PDUAddress)
	plmn              // of the serving network
	placePLMN         // of the network that a place is in
	uli               // UserLocationInformation
	lac               // LocationAreaCode
	ci                // CellId
	up                // bytes
	down              // bytes
	total             // bytes both ways
	party             // BCDDirectoryNumber of the other end
	party2            // the same, taken when the other is not there
	smsParty          // address field of TS 23.040
	isdnParty         // AddressString of the other end
	textParty         // GraphicString
	reference         // octets that tell records of one recorder apart
	messages          // SMMessageType
	equipment         // octets of SubscriberEquipmentNumber
	equipType         // of it
	subscriber        // text of SubscriptionID
	subscrType        // of it
	cellText          // hexadecimal text of a cell

	firstTable    // what follows are structures, each with a table of its own
	inLocation    // LocationAreaAndCell
	inTraffic     // SEQUENCE OF ChangeOfCharCondition
	inService     // SEQUENCE OF ChangeOfServiceCondition
	inUnits       // SEQUENCE OF MultipleUnitUsage
	inContainers  // SEQUENCE OF UsedUnitContainer
	inSubscriber  // SubscriptionID
	inEquipment   // SubscriberEquipmentNumber
	inPDU         // PDUSessionChargingInformation
	inSMS         // SMSChargingInformation
	inPlace       // UserLocationInformationStructured
	inEutra       // EutraLocation
	inNr          // NrLocation
	inTAI         // TAI
	inECGI        // Ecgi
	inNCGI        // Ncgi
	inServed      // OriginatorInfo, RecipientInfo of the served card
	inOther       // the same of the other end
	inOthers      // SEQUENCE OF RecipientInfo
	inServeds     // SEQUENCE OF RecipientInfo
	inSMSOrigin   // OriginatorInfo of a CHF record
	inSMSTargets  // SEQUENCE OF RecipientInfo of a CHF record
	inAddressInfo // SMAddressInfo
	tables
)

// field is a field as its module has it.
type field struct {
	tag  uint8
	name string
	typ  string
	do   action
}

// structure is a SET or SEQUENCE of a module, or with list a SEQUENCE OF them.
type structure struct {
	module, name string
	list         bool
	fields       []field
}

// structures are the inner ones, by their action.
var structures = map[action]structure{
	inLocation: {"Generic", "LocationAreaAndCell", false, []field{
		{0, "locationAreaCode", "LocationAreaCode", lac}, {1, "cellId", "CellId", ci}, {2, "mCC-MNC", "MCC-MNC", placePLMN},
	}},
	inTraffic: {"GPRS", "ChangeOfCharCondition", true, []field{
		{3, "dataVolumeGPRSUplink", "DataVolumeGPRS", up}, {4, "dataVolumeGPRSDownlink", "DataVolumeGPRS", down}, {8, "userLocationInformation", "OCTET STRING", uli},
	}},
	inService: {"GPRS", "ChangeOfServiceCondition", true, []field{
		{12, "datavolumeFBCUplink", "DataVolumeGPRS", up}, {13, "datavolumeFBCDownlink", "DataVolumeGPRS", down}, {20, "userLocationInformation", "OCTET STRING", uli},
	}},
	inUnits: {"CHF", "MultipleUnitUsage", true, []field{
		{1, "usedUnitContainers", "SEQUENCE OF UsedUnitContainer", inContainers},
	}},
	inContainers: {"CHF", "UsedUnitContainer", true, []field{
		{4, "dataTotalVolume", "DataVolumeOctets", total}, {5, "dataVolumeUplink", "DataVolumeOctets", up}, {6, "dataVolumeDownlink", "DataVolumeOctets", down},
	}},
	inSubscriber: {"Generic", "SubscriptionID", false, []field{
		{0, "subscriptionIDType", "SubscriptionIDType", subscrType}, {1, "subscriptionIDData", "UTF8String", subscriber},
	}},
	inEquipment: {"Generic", "SubscriberEquipmentNumber", false, []field{
		{0, "subscriberEquipmentNumberType", "SubscriberEquipmentType", equipType}, {1, "subscriberEquipmentNumberData", "OCTET STRING", equipment},
	}},
	inPDU: {"CHF", "PDUSessionChargingInformation", false, []field{
		{0, "pDUSessionChargingID", "ChargingID", charging}, {2, "userEquipmentInfo", "SubscriberEquipmentNumber", inEquipment},
		{3, "userLocationInformation", "UserLocationInformation", uli}, {13, "dataNetworkNameIdentifier", "DataNetworkNameIdentifier", apn},
		{14, "pDUAddress", "PDUAddress", address}, {27, "servingCNPLMNID", "PLMN-Id", plmn}, {35, "userLocationInformationASN1", "UserLocationInformationStructured", inPlace},
	}},
	inSMS: {"CHF", "SMSChargingInformation", false, []field{
		{1, "originatorInfo", "OriginatorInfo", inSMSOrigin}, {2, "recipientInfos", "SEQUENCE OF RecipientInfo", inSMSTargets},
		{3, "userEquipmentInfo", "SubscriberEquipmentNumber", inEquipment}, {4, "userLocationInformation", "UserLocationInformation", uli},
		{8, "eventtimestamp", "TimeStamp", begin}, {21, "sMMessageType", "SMMessageType", messages}, {38, "userLocationInformationASN1", "UserLocationInformationStructured", inPlace},
	}},
	inPlace: {"CHF", "UserLocationInformationStructured", false, []field{
		{0, "eutraLocation", "EutraLocation", inEutra}, {1, "nrLocation", "NrLocation", inNr},
	}},
	inEutra:       {"CHF", "EutraLocation", false, []field{{0, "tai", "TAI", inTAI}, {1, "ecgi", "Ecgi", inECGI}}},
	inNr:          {"CHF", "NrLocation", false, []field{{0, "tai", "TAI", inTAI}, {1, "ncgi", "Ncgi", inNCGI}}},
	inTAI:         {"CHF", "TAI", false, []field{{0, "pLMNId", "PLMN-Id", placePLMN}, {1, "tac", "TAC", lac}}},
	inECGI:        {"CHF", "Ecgi", false, []field{{0, "plmnId", "PLMN-Id", placePLMN}, {1, "eutraCellId", "EutraCellId", cellText}}},
	inNCGI:        {"CHF", "Ncgi", false, []field{{0, "plmnId", "PLMN-Id", placePLMN}, {1, "nrCellId", "NrCellId", cellText}}},
	inServed:      {"SMS", "OriginatorInfo", false, []field{{0, "originatorIMSI", "IMSI", imsi}}},
	inOther:       {"SMS", "OriginatorInfo", false, otherOrigin},
	inOthers:      {"SMS", "RecipientInfo", true, otherTarget},
	inServeds:     {"SMS", "RecipientInfo", false, []field{{0, "recipientIMSI", "IMSI", imsi}}},
	inSMSOrigin:   {"SMS", "OriginatorInfo", false, otherOrigin},
	inSMSTargets:  {"SMS", "RecipientInfo", true, otherTarget},
	inAddressInfo: {"SMS", "SMAddressInfo", false, []field{{1, "sMAddressData", "GraphicString", textParty}}},
}

var (
	otherOrigin = []field{{1, "originatorMSISDN", "MSISDN", isdnParty}, {2, "originatorOtherAddress", "SMAddressInfo", inAddressInfo}}
	otherTarget = []field{{1, "recipientMSISDN", "MSISDN", isdnParty}, {2, "recipientOtherAddress", "SMAddressInfo", inAddressInfo}}
)

// record is a kind of record.
type record struct {
	tag       uint32 // in its CHOICE
	choice    string // name there
	structure structure
	recType   uint64 // what its recordType says
	service   cdr.Service
	direction cdr.Direction
}

// gateway are the fields that records of S-GW, P-GW and their like share.
func gateway(name string, more ...field) structure {
	return structure{"GPRS", name, false, append([]field{
		{0, "recordType", "RecordType", kindOf}, {3, "servedIMSI", "IMSI", imsi}, {7, "accessPointNameNI", "AccessPointNameNI", apn},
		{13, "recordOpeningTime", "TimeStamp", begin}, {14, "duration", "CallDuration", duration}, {15, "causeForRecClosing", "CauseForRecClosing", cause},
		{17, "recordSequenceNumber", "INTEGER", sequence}, {18, "nodeID", "NodeID", node}, {20, "localSequenceNumber", "LocalSequenceNumber", local}, {29, "servedIMEI", "IMEI", imei},
	}, more...)}
}

var (
	fCharging = field{5, "chargingID", "ChargingID", charging}
	fPDN      = field{9, "servedPDPPDNAddress", "PDPAddress", address}
	fTraffic  = field{12, "listOfTrafficVolumes", "SEQUENCE OF ChangeOfCharCondition", inTraffic}
	fService  = field{34, "listOfServiceData", "SEQUENCE OF ChangeOfServiceCondition", inService}
	fServing  = field{27, "servingNodePLMNIdentifier", "PLMN-Id", plmn}
	fULI      = field{32, "userLocationInformation", "OCTET STRING", uli}
)

// records are all kinds that are read.
var records = []record{
	{200, "chargingFunctionRecord", structure{"CHF", "ChargingRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "recordingNetworkFunctionID", "NetworkFunctionName", node}, {2, "subscriberIdentifier", "SubscriptionID", inSubscriber},
		{5, "listOfMultipleUnitUsage", "SEQUENCE OF MultipleUnitUsage", inUnits}, {6, "recordOpeningTime", "TimeStamp", begin}, {7, "duration", "CallDuration", duration},
		{8, "recordSequenceNumber", "INTEGER", sequence}, {9, "causeForRecClosing", "CauseForRecClosing", cause}, {11, "localRecordSequenceNumber", "LocalSequenceNumber", local},
		{13, "pDUSessionChargingInformation", "PDUSessionChargingInformation", inPDU}, {15, "sMSChargingInformation", "SMSChargingInformation", inSMS}, {27, "chargingID", "ChargingID", charging},
	}}, 200, 0, 0},
	{78, "sGWRecord", gateway("SGWRecord", fCharging, fPDN, fTraffic, fServing, fULI), 84, cdr.Data, 0},
	{79, "pGWRecord", gateway("PGWRecord", fCharging, fPDN, fTraffic, fServing, fULI, fService), 85, cdr.Data, 0},
	{92, "tDFRecord", gateway("TDFRecord", fPDN, fServing, fULI, fService, field{41, "pDNConnectionChargingID", "ChargingID", charging}), 92, cdr.Data, 0},
	{95, "iPERecord", gateway("IPERecord", fCharging, fTraffic, fService, field{9, "servedIPCANsessionAddress", "PDPAddress", address}, field{37, "iPEdgeOperatorIdentifier", "PLMN-Id", plmn}), 95, cdr.Data, 0},
	{96, "ePDGRecord", gateway("EPDGRecord", fCharging, fPDN, fTraffic), 96, cdr.Data, 0},
	{97, "tWAGRecord", gateway("TWAGRecord", fCharging, fPDN, fTraffic), 97, cdr.Data, 0},
	{20, "sgsnPDPRecord", structure{"GPRS", "SGSNPDPRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {3, "servedIMSI", "IMSI", imsi}, {4, "servedIMEI", "IMEI", imei}, {8, "locationAreaCode", "LocationAreaCode", lac}, {9, "cellIdentifier", "CellId", ci},
		{10, "chargingID", "ChargingID", charging}, {12, "accessPointNameNI", "AccessPointNameNI", apn}, {14, "servedPDPAddress", "PDPAddress", address},
		{15, "listOfTrafficVolumes", "SEQUENCE OF ChangeOfCharCondition", inTraffic}, {16, "recordOpeningTime", "TimeStamp", begin}, {17, "duration", "CallDuration", duration},
		{19, "causeForRecClosing", "CauseForRecClosing", cause}, {21, "recordSequenceNumber", "INTEGER", sequence}, {22, "nodeID", "NodeID", node},
		{24, "localSequenceNumber", "LocalSequenceNumber", local}, {38, "servingNodePLMNIdentifier", "PLMN-Id", plmn},
	}}, 18, cdr.Data, 0},
	{23, "sgsnSMORecord", structure{"GPRS", "SGSNSMORecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "servedIMSI", "IMSI", imsi}, {2, "servedIMEI", "IMEI", imei}, {6, "recordingEntity", "RecordingEntity", entity}, {7, "locationArea", "LocationAreaCode", lac},
		{9, "cellIdentifier", "CellId", ci}, {10, "messageReference", "MessageReference", reference}, {11, "eventTimeStamp", "TimeStamp", begin}, {14, "nodeID", "NodeID", node},
		{15, "localSequenceNumber", "LocalSequenceNumber", local}, {18, "destinationNumber", "SmsTpDestinationNumber", smsParty}, {26, "userLocationInformation", "OCTET STRING", uli},
		{28, "servingNodePLMNIdentifier", "PLMN-Id", plmn},
	}}, 21, cdr.SMS, cdr.Originated},
	{24, "sgsnSMTRecord", structure{"GPRS", "SGSNSMTRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "servedIMSI", "IMSI", imsi}, {2, "servedIMEI", "IMEI", imei}, {6, "recordingEntity", "RecordingEntity", entity}, {7, "locationArea", "LocationAreaCode", lac},
		{9, "cellIdentifier", "CellId", ci}, {10, "eventTimeStamp", "TimeStamp", begin}, {13, "nodeID", "NodeID", node}, {14, "localSequenceNumber", "LocalSequenceNumber", local},
		{19, "originatingAddress", "AddressString", isdnParty}, {25, "userLocationInformation", "OCTET STRING", uli}, {27, "servingNodePLMNIdentifier", "PLMN-Id", plmn},
	}}, 22, cdr.SMS, cdr.Terminated},
	{0, "moCallRecord", structure{"CS", "MOCallRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "servedIMSI", "IMSI", imsi}, {2, "servedIMEI", "IMEI", imei}, {5, "calledNumber", "CalledNumber", party}, {7, "connectedNumber", "ConnectedNumber", party2},
		{9, "recordingEntity", "RecordingEntity", entity}, {12, "location", "LocationAreaAndCell", inLocation}, {22, "seizureTime", "TimeStamp", early}, {23, "answerTime", "TimeStamp", begin},
		{24, "releaseTime", "TimeStamp", early}, {25, "callDuration", "CallDuration", duration}, {30, "causeForTerm", "CauseForTerm", cause}, {32, "callReference", "CallReferenceNumber", reference},
		{33, "sequenceNumber", "INTEGER", sequence},
	}}, 0, cdr.Voice, cdr.Originated},
	{1, "mtCallRecord", structure{"CS", "MTCallRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "servedIMSI", "IMSI", imsi}, {2, "servedIMEI", "IMEI", imei}, {4, "callingNumber", "CallingNumber", party}, {6, "recordingEntity", "RecordingEntity", entity},
		{9, "location", "LocationAreaAndCell", inLocation}, {19, "seizureTime", "TimeStamp", early}, {20, "answerTime", "TimeStamp", begin}, {21, "releaseTime", "TimeStamp", early},
		{22, "callDuration", "CallDuration", duration}, {27, "causeForTerm", "CauseForTerm", cause}, {29, "callReference", "CallReferenceNumber", reference}, {30, "sequenceNumber", "INTEGER", sequence},
	}}, 1, cdr.Voice, cdr.Terminated},
	{6, "moSMSRecord", structure{"CS", "MOSMSRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "servedIMSI", "IMSI", imsi}, {2, "servedIMEI", "IMEI", imei}, {6, "recordingEntity", "RecordingEntity", entity}, {7, "location", "LocationAreaAndCell", inLocation},
		{8, "messageReference", "MessageReference", reference}, {9, "originationTime", "TimeStamp", begin}, {12, "destinationNumber", "SmsTpDestinationNumber", smsParty},
	}}, 6, cdr.SMS, cdr.Originated},
	{7, "mtSMSRecord", structure{"CS", "MTSMSRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {2, "servedIMSI", "IMSI", imsi}, {3, "servedIMEI", "IMEI", imei}, {6, "recordingEntity", "RecordingEntity", entity}, {7, "location", "LocationAreaAndCell", inLocation},
		{8, "deliveryTime", "TimeStamp", begin},
	}}, 7, cdr.SMS, cdr.Terminated},
	{93, "sCSMORecord", structure{"SMS", "SCSMORecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "sMSNodeAddress", "AddressString", entity}, {2, "originatorInfo", "OriginatorInfo", inServed}, {3, "recipientInfo", "SEQUENCE OF RecipientInfo", inOthers},
		{4, "servedIMEI", "IMEI", imei}, {5, "eventtimestamp", "TimeStamp", begin}, {6, "messageReference", "MessageReference", reference}, {16, "userLocationInfo", "OCTET STRING", uli},
		{22, "localSequenceNumber", "LocalSequenceNumber", local},
	}}, 93, cdr.SMS, cdr.Originated},
	{94, "sCSMTRecord", structure{"SMS", "SCSMTRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {1, "sMSNodeAddress", "AddressString", entity}, {2, "recipientInfo", "RecipientInfo", inServeds}, {3, "originatorInfo", "OriginatorInfo", inOther},
		{4, "servedIMEI", "IMEI", imei}, {6, "eventtimestamp", "TimeStamp", begin}, {8, "messageReference", "MessageReference", reference}, {20, "userLocationInfo", "OCTET STRING", uli},
		{26, "localSequenceNumber", "LocalSequenceNumber", local},
	}}, 94, cdr.SMS, cdr.Terminated},
	{112, "iSMSMORecord", structure{"SMS", "ISMSMORecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {2, "originatorInfo", "OriginatorInfo", inServed}, {3, "recipientInfo", "SEQUENCE OF RecipientInfo", inOthers},
		{4, "subscriberEquipmentNumber", "SubscriberEquipmentNumber", inEquipment}, {5, "eventtimestamp", "TimeStamp", begin}, {6, "messageReference", "MessageReference", reference},
		{17, "userLocationInfo", "OCTET STRING", uli}, {20, "pDPAddress", "PDPAddress", address}, {24, "localSequenceNumber", "LocalSequenceNumber", local},
	}}, 112, cdr.SMS, cdr.Originated},
	{113, "iSMSMTRecord", structure{"SMS", "ISMSMTRecord", false, []field{
		{0, "recordType", "RecordType", kindOf}, {2, "recipientInfo", "RecipientInfo", inServeds}, {3, "originatorInfo", "OriginatorInfo", inOther},
		{4, "subscriberEquipmentNumber", "SubscriberEquipmentNumber", inEquipment}, {6, "eventtimestamp", "TimeStamp", begin}, {8, "messageReference", "MessageReference", reference},
		{20, "userLocationInfo", "OCTET STRING", uli}, {24, "pDPAddress", "PDPAddress", address}, {28, "localSequenceNumber", "LocalSequenceNumber", local},
	}}, 113, cdr.SMS, cdr.Terminated},
}
