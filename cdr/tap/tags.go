package tap

// Tags of the module TAP-0312, all of class APPLICATION.
const (
	tagTransferBatch = 1
	tagNotification  = 2
	tagCallEvents    = 3
	tagBatchControl  = 4
	tagNetworkInfo   = 6
	tagMOCall        = 9
	tagMTCall        = 10
	tagSCU           = 12
	tagGPRS          = 14

	tagSender       = 196
	tagRecipient    = 182
	tagFileSequence = 109
	tagRelease      = 189
	tagFileType     = 110

	tagOffsets    = 234
	tagOffsetInfo = 233
	tagOffsetCode = 232
	tagOffset     = 231
	tagLocalTime  = 16

	tagMOBasic        = 147
	tagMTBasic        = 153
	tagGPRSBasic      = 114
	tagSubscriber     = 427
	tagSIM            = 199
	tagIMSI           = 129
	tagDestination    = 89
	tagOriginator     = 41
	tagCalled         = 407
	tagCalling        = 405
	tagDialled        = 279
	tagSMSDestination = 419
	tagSMSOriginator  = 425
	tagStart          = 44
	tagDuration       = 223
	tagCause          = 58
	tagLocation       = 138
	tagNetLocation    = 156
	tagGPRSLocation   = 117
	tagGPRSNet        = 118
	tagGeographical   = 113
	tagServingNetwork = 195
	tagArea           = 136
	tagCell           = 59
	tagCallReference  = 45
	tagEquipment      = 429
	tagIMEI           = 128
	tagServices       = 38
	tagServiceUsed    = 39
	tagService        = 36
	tagServiceCode    = 426
	tagTeleService    = 218
	tagGPRSSubscriber = 115
	tagPDPAddress     = 167
	tagGPRSDest       = 116
	tagAPN            = 261
	tagGPRSService    = 121
	tagIncoming       = 250
	tagOutgoing       = 251
	tagPartial        = 166
	tagCharges        = 70
	tagCharge         = 69
	tagChargedItem    = 66
	tagDetails        = 64
	tagDetail         = 63
	tagChargeable     = 65
)

// names are the names that the module gives the tags above; a test holds them
// against it.
var names = map[uint32]string{
	tagTransferBatch: "TransferBatch", tagNotification: "Notification", tagCallEvents: "CallEventDetailList", tagBatchControl: "BatchControlInfo", tagNetworkInfo: "NetworkInfo",
	tagMOCall: "MobileOriginatedCall", tagMTCall: "MobileTerminatedCall", tagSCU: "ServiceCentreUsage", tagGPRS: "GprsCall",
	tagSender: "Sender", tagRecipient: "Recipient", tagFileSequence: "FileSequenceNumber", tagRelease: "ReleaseVersionNumber", tagFileType: "FileTypeIndicator",
	tagOffsets: "UtcTimeOffsetInfoList", tagOffsetInfo: "UtcTimeOffsetInfo", tagOffsetCode: "UtcTimeOffsetCode", tagOffset: "UtcTimeOffset", tagLocalTime: "LocalTimeStamp",
	tagMOBasic: "MoBasicCallInformation", tagMTBasic: "MtBasicCallInformation", tagGPRSBasic: "GprsBasicCallInformation", tagSubscriber: "ChargeableSubscriber", tagSIM: "SimChargeableSubscriber",
	tagIMSI: "Imsi", tagDestination: "Destination", tagOriginator: "CallOriginator", tagCalled: "CalledNumber", tagCalling: "CallingNumber", tagDialled: "DialledDigits",
	tagSMSDestination: "SMSDestinationNumber", tagSMSOriginator: "SMSOriginator", tagStart: "CallEventStartTimeStamp", tagDuration: "TotalCallEventDuration", tagCause: "CauseForTerm",
	tagLocation: "LocationInformation", tagNetLocation: "NetworkLocation", tagGPRSLocation: "GprsLocationInformation", tagGPRSNet: "GprsNetworkLocation", tagGeographical: "GeographicalLocation",
	tagServingNetwork: "ServingNetwork", tagArea: "LocationArea", tagCell: "CellId", tagCallReference: "CallReference", tagEquipment: "ImeiOrEsn", tagIMEI: "Imei",
	tagServices: "BasicServiceUsedList", tagServiceUsed: "BasicServiceUsed", tagService: "BasicService", tagServiceCode: "BasicServiceCode", tagTeleService: "TeleServiceCode",
	tagGPRSSubscriber: "GprsChargeableSubscriber", tagPDPAddress: "PdpAddress", tagGPRSDest: "GprsDestination", tagAPN: "AccessPointNameNI", tagGPRSService: "GprsServiceUsed",
	tagIncoming: "DataVolumeIncoming", tagOutgoing: "DataVolumeOutgoing", tagPartial: "PartialTypeIndicator", tagCharges: "ChargeInformationList", tagCharge: "ChargeInformation",
	tagChargedItem: "ChargedItem", tagDetails: "ChargeDetailList", tagDetail: "ChargeDetail", tagChargeable: "ChargeableUnits",
}
