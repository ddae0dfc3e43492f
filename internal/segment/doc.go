// Package segment is the platform's evidence store: the reports of all
// gateways, in append-only segment files, and the index of the flow reports
// among them.
//
// Ingest and Submit write a batch and the gateway's watermark (organisation,
// gateway, epoch, Seq) as one frame, so that neither is ever there without the
// other, and answer after the frame is durable. Batches that arrive at the same
// time share one fsync. However often a record is sent, it is stored once: what is
// at or below the watermark is left out, and a batch that does not connect to
// it is refused with code Conflict and an acknowledgement that says from where
// to send. What a gateway cannot send any more it declares lost (api.LostRange).
// Records are stored as they came in the binary form of a batch: they are walked
// over, not taken apart.
//
// Frames are numbered in the order of ingest; Scan reads them in that order
// for the projector, from a Cursor that the projector keeps together with its
// own state. FlowPage and Totals answer queries by the index (package run): sorted
// runs in columns, made from the frames as they come, and what came since the last
// run in memory. A query first brings the index up to what is durable, so that it
// never misses what was acknowledged. Pages are in the order in which flows
// began, newest first, and their cursor names the newest frame of the first
// page: a report that is stored while somebody pages is in a later search.
// The organisation is part of every key: a query of one never sees a frame of
// another, and a row is read again from its frame before it is shown.
//
// Runs, the places of frames (".marks") and the watermarks as of the newest run
// ("marks.ckpt") only save time. They are not synced; whatever of them is lost,
// torn or damaged is found by its checksums and made again from the frames. They
// go with the segment that they are of when that expires.
//
// What a gateway says about itself is stored as it is said, also a flow report
// that cannot be decoded: it is evidence. Only the form of the batch is
// checked, and its size.
//
// The store is one directory, owned by one process. After a failed write or
// fsync it has stopped, see package durable. It owns two goroutines, one that
// writes and answers and one that keeps the index up; Close ends them. All
// methods may be called concurrently.
package segment
