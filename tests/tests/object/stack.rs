//! The stack that the programs use, counted as by `check_max_stack_depth` in Linux 6.1. Later kernels round
//! less, so that only a guest would notice.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use aya_obj::{
    Object,
    generated::{
        BPF_ADD, BPF_ALU64, BPF_CALL, BPF_JMP, BPF_K, BPF_LDX, BPF_MOV, BPF_PSEUDO_CALL, BPF_ST,
        BPF_STX, BPF_X, bpf_insn,
    },
};

/// `MAX_BPF_STACK`.
const LIMIT: usize = 512;

/// Each frame is rounded up to a multiple of this.
const ROUNDED_TO: usize = 32;

/// Bits of an instruction's code: its class.
const CLASS: u32 = 0b111;

/// Register R10.
const FRAME_POINTER: u8 = 10;

#[derive(Default)]
struct Frame {
    bytes: usize,
    /// First instructions of the functions that it calls.
    calls: Vec<usize>,
}

#[test]
fn programs_have_room_on_the_stack_of_older_kernels() {
    let mut programs = 0;
    for entry in fs::read_dir(objects()).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "o") {
            continue;
        }
        for (name, bytes) in stacks(&path) {
            println!("{}: {name}: {bytes} bytes", path.display());
            assert!(bytes <= LIMIT, "{}: {name} needs {bytes} bytes of the stack", path.display());
            assert!(bytes >= ROUNDED_TO);
            programs += 1;
        }
    }
    assert!(programs > 3, "{programs}");
}

fn objects() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-ebpf/object"))
}

/// Returns the bytes that each program of an object needs at its deepest point.
fn stacks(path: &Path) -> BTreeMap<String, usize> {
    let mut object = Object::parse(&fs::read(path).expect("readable")).expect("an object");
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_calls(&sections).expect("linked");
    let programs = object.programs.iter();
    let of_program = |(name, program): (&String, &aya_obj::Program)| {
        let code = &object.functions[&program.function_key()].instructions;
        (name.clone(), deepest(&frames(code), 0))
    };
    programs.map(of_program).collect()
}

fn deepest(frames: &BTreeMap<usize, Frame>, function: usize) -> usize {
    let Frame { bytes, calls } = &frames[&function];
    let below = calls.iter().map(|called| deepest(frames, *called)).max();
    (*bytes).max(1).next_multiple_of(ROUNDED_TO) + below.unwrap_or(0)
}

/// Returns the frames of linked functions by their first instructions.
fn frames(code: &[bpf_insn]) -> BTreeMap<usize, Frame> {
    let called = code.iter().enumerate().filter_map(callee);
    let mut frames: BTreeMap<_, _> =
        called.chain([0]).map(|first| (first, Frame::default())).collect();
    let ends: Vec<usize> = frames.keys().copied().skip(1).chain([code.len()]).collect();
    for ((first, frame), end) in frames.iter_mut().zip(ends) {
        let own = code.iter().enumerate().take(end).skip(*first);
        frame.calls = own.clone().filter_map(callee).collect();
        frame.bytes = bytes(own.map(|(_, instruction)| instruction));
    }
    frames
}

fn callee((at, instruction): (usize, &bpf_insn)) -> Option<usize> {
    let is_call = u32::from(instruction.code) == BPF_JMP | BPF_CALL
        && u32::from(instruction.src_reg()) == BPF_PSEUDO_CALL;
    is_call.then(|| (at + 1).checked_add_signed(instruction.imm as isize).expect("in the code"))
}

/// Returns the distance of the lowest address that a function has to do with from the top of its frame.
fn bytes<'a>(code: impl Iterator<Item = &'a bpf_insn>) -> usize {
    let mut lowest = 0;
    // Copies of the frame pointer, of which something is about to be subtracted.
    let mut copies = HashSet::new();
    for instruction in code {
        let (to, from) = (instruction.dst_reg(), instruction.src_reg());
        let code = u32::from(instruction.code);
        let base = match code & CLASS {
            BPF_LDX => from,
            BPF_ST | BPF_STX => to,
            _ => {
                if code == BPF_ALU64 | BPF_MOV | BPF_X && is_frame_pointer(from) {
                    copies.insert(to);
                } else if copies.remove(&to) && code == BPF_ALU64 | BPF_ADD | BPF_K {
                    lowest = lowest.min(instruction.imm);
                }
                continue;
            }
        };
        if is_frame_pointer(base) {
            lowest = lowest.min(instruction.off.into());
        }
    }
    lowest.unsigned_abs() as usize
}

fn is_frame_pointer(register: u8) -> bool {
    register == FRAME_POINTER
}
