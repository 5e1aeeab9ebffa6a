#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[aya_ebpf::macros::xdp(frags)]
pub fn pass(_ctx: aya_ebpf::programs::XdpContext) -> u32 {
    2
}
