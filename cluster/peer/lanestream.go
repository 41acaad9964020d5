package peer

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant/cluster/peer/peerpb"
	"github.com/sextantdb/sextant/cluster/topology"
)

// errUnheard ends a lane on which nothing came. The caller, if it hears it, knows by the code
// that its messages don't get through, and needn't find out by dialling.
var errUnheard = status.Error(codes.DeadlineExceeded, "nothing was heard from the caller")

// laneKey names a lane of a peer; there is one stream for each.
type laneKey struct {
	peer topology.PeerID
	lane peerpb.Lane
}

// laneStream is the called side of a lane.
type laneStream struct {
	caller
	stream   grpc.BidiStreamingServer[peerpb.Frame, peerpb.Frame]
	replaced chan struct{} // closed when a newer stream takes its place
	over     atomic.Bool   // nothing is handed over any more
	turn     *sync.Mutex   // held while something is handed over; a lane's streams share it
	began    time.Time
	waiting  atomic.Int64 // how long after began it was that a frame is waited for; 0 while one is handed over
	part     []byte       // of a large message
}

// Messages reads a lane until it ends, falls silent, or is replaced by a newer one.
func (s *Server) Messages(stream grpc.BidiStreamingServer[peerpb.Frame, peerpb.Frame]) error {
	l := &laneStream{caller: callerOf(stream.Context()), stream: stream, replaced: make(chan struct{}), began: time.Now()}
	if l.lane != peerpb.Lane_LANE_CONTROL && l.lane != peerpb.Lane_LANE_REPLICATION {
		return refuse(RefusedMalformed, "there is no lane %d", l.lane)
	}
	if err := s.enter(l); err != nil {
		return err
	}
	started := false
	defer func() {
		l.over.Store(true)
		if !started {
			s.leave(l)
		}
	}()
	if err := stream.SendHeader(l.header); err != nil {
		return err
	}
	ended := make(chan error, 1)
	started = true
	s.receive.Go(func() { // it ends when this method returns
		ended <- s.readLane(l)
		s.leave(l)
	})
	beat := time.NewTicker(s.o.Timing.Beat)
	defer beat.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-l.replaced:
			return status.Error(codes.Aborted, "a newer stream took this one's place")
		case <-s.stop:
			return errStopping
		case <-beat.C:
		}
		if since := l.waiting.Load(); since != 0 && time.Since(l.began)-time.Duration(since) > s.o.Timing.Silence {
			return errUnheard
		}
		if err := stream.Send(&peerpb.Frame{}); err != nil {
			return err
		}
	}
}

// enter makes a stream the one of its lane. An older process's gives way, a newer one's
// doesn't.
func (s *Server) enter(l *laneStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range []peerpb.Lane{peerpb.Lane_LANE_CONTROL, peerpb.Lane_LANE_REPLICATION} {
		if other := s.streams[laneKey{l.Peer, kind}]; other != nil && other.Incarnation > l.Incarnation {
			return refuse(RefusedIncarnation, "process %d of peer %d isn't its latest, which is %d", l.Incarnation, l.Peer, other.Incarnation)
		}
	}
	for _, kind := range []peerpb.Lane{peerpb.Lane_LANE_CONTROL, peerpb.Lane_LANE_REPLICATION} {
		other := s.streams[laneKey{l.Peer, kind}]
		if other == nil || (kind != l.lane && other.Incarnation == l.Incarnation) {
			continue
		}
		if other.over.CompareAndSwap(false, true) {
			close(other.replaced)
		}
		if kind == l.lane {
			l.turn = other.turn
		}
	}
	if l.turn == nil {
		l.turn = new(sync.Mutex)
	}
	s.streams[laneKey{l.Peer, l.lane}] = l
	return nil
}

// leave forgets a stream that hands over nothing any more.
func (s *Server) leave(l *laneStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := (laneKey{l.Peer, l.lane}); s.streams[key] == l {
		delete(s.streams, key)
	}
}

// readLane hands over what a lane brings.
func (s *Server) readLane(l *laneStream) error {
	for {
		l.waiting.Store(int64(max(time.Since(l.began), 1)))
		frame, err := l.stream.Recv()
		l.waiting.Store(0)
		if err != nil {
			return err
		}
		if err := s.gate.checkCaller(l.From); err != nil {
			return err
		}
		if err := s.join(l, frame); err != nil {
			return err
		}
		if !s.handOver(l, frame) {
			return nil
		}
	}
}

// join puts the parts of a large message together; with the last one the message is added
// to the frame.
func (s *Server) join(l *laneStream, frame *peerpb.Frame) error {
	if len(l.part)+len(frame.GetPart()) > s.o.MaxMessage {
		return status.Errorf(codes.ResourceExhausted, "a message is larger than %d bytes", s.o.MaxMessage)
	}
	l.part = append(l.part, frame.GetPart()...)
	if !frame.GetLastPart() {
		return nil
	}
	whole := l.part
	l.part = nil
	if l.lane == peerpb.Lane_LANE_CONTROL {
		frame.Control = append(frame.Control, whole)
		return nil
	}
	e := new(peerpb.Envelope)
	if err := proto.Unmarshal(whole, e); err != nil {
		return status.Errorf(codes.InvalidArgument, "a message in parts can't be read: %v", err)
	}
	frame.Replication = append(frame.Replication, e)
	return nil
}
