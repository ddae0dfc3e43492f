package rtsptest

// Picture returns a sequence and a picture parameter set and one IDR slice of
// a grey 64 by 48 picture, baseline profile, all macroblocks I_PCM (H.264
// section 7.3.5): the one kind of picture that can be written by hand and that
// every decoder shows.
func Picture() (sps, pps, idr []byte) {
	var s writer
	s.u(66, 8) // profile_idc: baseline
	s.u(0xC0, 8)
	s.u(10, 8) // level 1
	s.ue(0)    // seq_parameter_set_id
	s.ue(0)    // log2_max_frame_num_minus4
	s.ue(2)    // pic_order_cnt_type
	s.ue(1)    // max_num_ref_frames
	s.u(0, 1)
	s.ue(Width/16 - 1)
	s.ue(Height/16 - 1)
	s.u(1, 1) // frame_mbs_only_flag
	s.u(0, 1) // direct_8x8_inference_flag
	s.u(0, 1) // frame_cropping_flag
	s.u(0, 1) // vui_parameters_present_flag

	var p writer
	p.ue(0) // pic_parameter_set_id
	p.ue(0) // seq_parameter_set_id
	p.u(0, 2)
	p.ue(0) // num_slice_groups_minus1
	p.ue(0)
	p.ue(0)
	p.u(0, 3) // weighted prediction
	p.ue(0)   // se: pic_init_qp_minus26
	p.ue(0)
	p.ue(0)
	p.u(0, 3)

	var i writer
	i.ue(0) // first_mb_in_slice
	i.ue(7) // slice_type: I, all of the picture
	i.ue(0)
	i.u(0, 4) // frame_num
	i.ue(0)   // idr_pic_id
	i.u(0, 2) // dec_ref_pic_marking
	i.ue(0)   // slice_qp_delta
	for mb := range Width / 16 * (Height / 16) {
		i.ue(25) // mb_type: I_PCM
		i.align()
		for k := range 384 {
			i.u(uint32(64+(mb*7+k)%128), 8) // no zeros, so that no emulation prevention is due
		}
	}
	return s.nal(0x67), p.nal(0x68), i.nal(0x65)
}

// writer writes an RBSP.
type writer struct {
	b    []byte
	free int // bits free in the last byte
}

func (w *writer) u(v uint32, n int) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

func (w *writer) ue(v uint32) {
	n := 0
	for x := v + 1; x > 1; x >>= 1 {
		n++
	}
	w.u(0, n)
	w.u(v+1, n+1)
}

func (w *writer) align() { w.free = 0 }

// nal closes the RBSP and puts the header in front.
func (w *writer) nal(header byte) []byte {
	w.u(1, 1)
	w.align()
	return append([]byte{header}, w.b...)
}
