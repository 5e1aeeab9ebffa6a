//! Faults of the host itself.

use crate::{
    check::{Check, Find},
    facts::Machine,
    report::{Cases, Severity},
};

/// Oldest kernel that runs the program.
const OLDEST: (u8, u8) = (5, 18);

const NEW_KERNEL: &str = "apt install linux-image-$(dpkg --print-architecture) && reboot";

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "kernel-old",
        severity: Severity::Problem,
        meaning: "The kernel is older than Linux 5.18, which the XDP program needs.",
        find: Find::OnMachine(kernel_old),
    },
    Check {
        id: "kernel-without-btf",
        severity: Severity::Problem,
        meaning: "The kernel does not describe its types (BTF), which the XDP program needs.",
        find: Find::OnMachine(kernel_without_btf),
    },
    Check {
        id: "jit-off",
        severity: Severity::Warning,
        meaning: "The kernel interprets programs instead of translating them to machine code.",
        find: Find::OnMachine(jit_off),
    },
    Check {
        id: "clock-not-synchronised",
        severity: Severity::Note,
        meaning: "Nothing keeps the clock right, which certificates in checks and times in the \
            log rely on.",
        find: Find::OnMachine(clock_not_synchronised),
    },
];

fn kernel_old(machine: &Machine, cases: &mut Cases<'_>) {
    let Some((major, minor)) = cases.seen("kernel", &machine.kernel) else { return };
    if (*major, *minor) < OLDEST {
        let message = format!("Linux {major}.{minor} is older than 5.18");
        cases.add("kernel", message, NEW_KERNEL);
    }
}

fn kernel_without_btf(machine: &Machine, cases: &mut Cases<'_>) {
    if cases.seen("kernel", &machine.has_btf) == Some(&false) {
        let message = "there is no /sys/kernel/btf/vmlinux: the program cannot be loaded";
        cases.add("kernel", message, NEW_KERNEL);
    }
}

fn jit_off(machine: &Machine, cases: &mut Cases<'_>) {
    if cases.seen("kernel", &machine.translates) == Some(&false) {
        cases.add(
            "kernel",
            "programs are interpreted, which is several times slower",
            "sysctl -w net.core.bpf_jit_enable=1 && systemctl restart xdplb",
        );
    }
}

fn clock_not_synchronised(machine: &Machine, cases: &mut Cases<'_>) {
    if cases.seen("clock", &machine.is_clock_synchronised) == Some(&false) {
        cases.add(
            "clock",
            "nothing keeps the clock right: certificates may seem to be expired",
            "apt install systemd-timesyncd && timedatectl set-ntp true",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::found;

    fn healthy() -> Machine {
        Machine {
            kernel: Ok((6, 1)),
            has_btf: Ok(true),
            translates: Ok(true),
            is_clock_synchronised: Ok(true),
        }
    }

    #[test]
    fn kernels_before_5_18_are_too_old() {
        for (version, faults) in [((4, 19), 1), ((5, 17), 1), ((5, 18), 0), ((6, 1), 0)] {
            let machine = Machine { kernel: Ok(version), ..healthy() };
            assert_eq!(found(&machine, kernel_old).len(), faults, "{version:?}");
        }
    }

    #[test]
    fn an_interpreter_is_slow_and_what_is_hidden_is_said() {
        let slow = found(&Machine { translates: Ok(false), ..healthy() }, jit_off);
        assert!(slow[0].fix.starts_with("sysctl -w net.core.bpf_jit_enable=1"), "{slow:?}");
        assert!(found(&healthy(), jit_off).is_empty());
        let hidden = found(&Machine { translates: Err("why".into()), ..healthy() }, jit_off);
        assert_eq!((hidden[0].severity, &*hidden[0].message), (Severity::NotChecked, "why"));
    }

    #[test]
    fn a_clock_that_nothing_keeps_right_is_noted() {
        let wrong = Machine { is_clock_synchronised: Ok(false), ..healthy() };
        assert_eq!(found(&wrong, clock_not_synchronised).len(), 1);
        assert!(found(&healthy(), clock_not_synchronised).is_empty());
    }
}
