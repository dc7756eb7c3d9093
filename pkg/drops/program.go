package drops

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// The program runs at each packet that the kernel frees for a reason (tracepoint skb:kfree_skb), whoever's it is. It looks
// for its network namespace, leaves at once where nobody asked for that, counts by key, and passes some on.
//
// It reads by bpf_probe_read_kernel, which fails where a pointer is none: skb->dev shares its place with other things.

// The stack of the program, from its top downwards. A sample is passed on as it stands there.
const (
	sampleAt  = -144 // key, count, packet
	keyAt     = sampleAt
	nsAt      = keyAt
	reasonAt  = keyAt + 4
	indexAt   = keyAt + 8
	etherAt   = keyAt + 12
	protoAt   = keyAt + 14
	countAt   = keyAt + 16
	packetAt  = countAt + 8
	packetLen = 96
	scratchAt = sampleAt - 8
	zeroAt    = sampleAt - 16 // stays zero

	sampleLen = keyLen + 8 + packetLen
	keyLen    = 16
)

// firstSamples of a key are passed on, and then those whose number is a power of two.
const firstSamples = 4

// maps of the program.
const (
	mapNamespaces = "namespaces" // inode of a namespace -> 1
	mapCounts     = "counts"     // key -> how many
	mapSamples    = "samples"    // ring buffer
	mapLost       = "lost"       // how many samples and keys found no place
)

// mostKeys is how many keys are counted. Each is a reason, NIC and protocol of a namespace.
const mostKeys = 16384

// collection is the program with its maps.
func collection(l layout) *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			mapNamespaces: {Name: mapNamespaces, Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 8192},
			mapCounts:     {Name: mapCounts, Type: ebpf.Hash, KeySize: keyLen, ValueSize: 8, MaxEntries: mostKeys},
			mapSamples:    {Name: mapSamples, Type: ebpf.RingBuf, MaxEntries: 256 << 10},
			mapLost:       {Name: mapLost, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"drops": {
				Name: "drops", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "kfree_skb",
				License:      "GPL", // bpf_probe_read_kernel is for such only
				Instructions: l.instructions(),
			},
		},
	}
}

// probe reads bytes at a kernel address into the stack. What cannot be read is zero (copy_from_kernel_nofault).
func probe(to, size int32, from asm.Register, offset int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R3, from),
		asm.Add.Imm(asm.R3, offset),
		asm.Mov.Imm(asm.R2, size),
		asm.Mov.Reg(asm.R1, asm.RFP),
		asm.Add.Imm(asm.R1, to),
		asm.FnProbeReadKernel.Call(),
	}
}

// instructions are the program. R6 is the packet, R7 its namespace, R8 something on the way there, R9 zero.
func (l layout) instructions() asm.Instructions {
	var p asm.Instructions
	add := func(list ...asm.Instruction) { p = append(p, list...) }
	insert := func(list asm.Instructions) { p = append(p, list...) }

	// The arguments of the tracepoint: the packet, where, the reason.
	add(
		asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord),
		asm.LoadMem(asm.R2, asm.R1, 16, asm.DWord),
	)
	add(asm.Mov.Imm(asm.R9, 0))
	for at := zeroAt; at < sampleAt+sampleLen; at += 8 {
		add(asm.StoreMem(asm.RFP, int16(at), asm.R9, asm.DWord))
	}
	add(asm.StoreMem(asm.RFP, reasonAt, asm.R2, asm.Word))
	// The namespace, by the device.
	insert(probe(scratchAt, 8, asm.R6, l.skbDev))
	add(
		asm.LoadMem(asm.R8, asm.RFP, scratchAt, asm.DWord),
		asm.JEq.Imm(asm.R8, 0, "by socket"),
	)
	insert(probe(indexAt, 4, asm.R8, l.devIndex))
	insert(probe(scratchAt, 8, asm.R8, l.devNet))
	add(
		asm.LoadMem(asm.R7, asm.RFP, scratchAt, asm.DWord),
		asm.JNE.Imm(asm.R7, 0, "namespace"),
	)
	// Or by the socket.
	add(asm.StoreImm(asm.RFP, indexAt, 0, asm.Word).WithSymbol("by socket"))
	insert(probe(scratchAt, 8, asm.R6, l.skbSock))
	add(
		asm.LoadMem(asm.R8, asm.RFP, scratchAt, asm.DWord),
		asm.JEq.Imm(asm.R8, 0, "exit"),
	)
	insert(probe(scratchAt, 8, asm.R8, l.sockNet))
	add(
		asm.LoadMem(asm.R7, asm.RFP, scratchAt, asm.DWord),
		asm.JEq.Imm(asm.R7, 0, "exit"),
	)
	// Is it one of those that are watched?
	named := probe(nsAt, 4, asm.R7, l.netInode)
	named[0] = named[0].WithSymbol("namespace")
	insert(named)
	add(
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapNamespaces),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, nsAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
	)
	// What sort of packet it is.
	insert(probe(etherAt, 2, asm.R6, l.skbProtocol))
	insert(probe(scratchAt, 8, asm.R6, l.skbHead))
	add(asm.LoadMem(asm.R8, asm.RFP, scratchAt, asm.DWord))
	add(asm.StoreMem(asm.RFP, scratchAt, asm.R9, asm.DWord))
	insert(probe(scratchAt, 2, asm.R6, l.skbNetwork))
	add(
		asm.LoadMem(asm.R1, asm.RFP, scratchAt, asm.DWord),
		asm.Add.Reg(asm.R8, asm.R1),
	)
	insert(probe(packetAt, packetLen, asm.R8, 0))
	add(
		asm.LoadMem(asm.R1, asm.RFP, etherAt, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.JEq.Imm(asm.R1, etherIPv4, "IPv4"),
		asm.JNE.Imm(asm.R1, etherIPv6, "count"),
		asm.LoadMem(asm.R1, asm.RFP, packetAt+6, asm.Byte),
		asm.Ja.Label("protocol"),
		asm.LoadMem(asm.R1, asm.RFP, packetAt+9, asm.Byte).WithSymbol("IPv4"),
		asm.StoreMem(asm.RFP, protoAt, asm.R1, asm.Byte).WithSymbol("protocol"),
	)
	// Count it. Of two processors that see a key first one makes it.
	lookup := func(missing string) {
		add(
			asm.LoadMapPtr(asm.R1, 0).WithReference(mapCounts),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, keyAt),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, missing),
		)
	}
	add(asm.Mov.Imm(asm.R1, 0).WithSymbol("count")) // a place to jump to
	lookup("new")
	add(asm.Ja.Label("known"))
	add(
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapCounts).WithSymbol("new"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, keyAt),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, zeroAt), // zero: it is counted below
		asm.Mov.Imm(asm.R4, int32(ebpf.UpdateNoExist)),
		asm.FnMapUpdateElem.Call(),
	)
	lookup("lost")
	add(
		asm.Mov.Imm(asm.R1, 1).WithSymbol("known"),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord), // another processor may have added, too: some samples more or less
		asm.StoreMem(asm.RFP, countAt, asm.R1, asm.DWord),
		asm.JLE.Imm(asm.R1, firstSamples, "sample"),
		asm.Mov.Reg(asm.R2, asm.R1),
		asm.Sub.Imm(asm.R2, 1),
		asm.And.Reg(asm.R2, asm.R1),
		asm.JNE.Imm(asm.R2, 0, "exit"),
	)
	add(
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapSamples).WithSymbol("sample"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, sampleAt),
		asm.Mov.Imm(asm.R3, sampleLen),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
	)
	add(
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapLost).WithSymbol("lost"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, zeroAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "exit"),
		asm.Mov.Imm(asm.R1, 1),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
		asm.Return(),
	)
	return p
}
