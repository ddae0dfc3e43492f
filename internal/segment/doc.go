// Package segment is the platform's evidence store: the reports of all
// gateways, in append-only segment files.
//
// Ingest writes a batch and the gateway's watermark (organisation, gateway,
// epoch, Seq) as one frame, so that neither is ever there without the other,
// and answers after the frame is durable. Batches that arrive at the same time
// share one fsync. However often a record is sent, it is stored once: what is
// at or below the watermark is left out, and a batch that does not connect to
// it is refused with code Conflict and an acknowledgement that says from where
// to send. What a gateway cannot send any more it declares lost (api.LostRange).
//
// Frames are numbered in the order of ingest; Scan reads them in that order
// for the projector, from a Cursor that the projector keeps together with its
// own state. Flows answers queries by an index of the frames in which a device
// has flow reports. The index of the newest segment is in memory; those of
// sealed segments are in files beside them (".idx"), a few held in memory.
// They can be rebuilt from the segments, and are, when they are missing or
// damaged. The organisation is part of every key: a query of one never sees a
// frame of another.
//
// What a gateway says about itself is stored as it is said, also a flow report
// that cannot be decoded: it is evidence. Only the form of the batch is
// checked, and its size.
//
// The store is one directory, owned by one process. After a failed write or
// fsync it has stopped, see package durable. It starts no goroutines; all
// methods may be called concurrently.
package segment
