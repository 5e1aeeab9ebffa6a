//! Interfaces that receive packets of services.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lb_config::{Fault, Loaded};
use lb_dataplane::{Dataplane, Present, program_name};
use lb_model::{
    Event, EventKey, XdpMode,
    views::{GuardHook, InterfaceMode, InterfaceView, LinkState},
};
use lb_neighbours::{Interface as Link, XdpAttached};
use lb_notify::Transition;

use lb_host::sys::bpf::{self, XdpLink};

/// Interval of checks that the program is still attached: the kernel does not report every
/// detachment.
pub const UPKEEP: Duration = Duration::from_secs(1);

/// Maximum number of former indexes of an interface that connections may refer to.
const FORMER: usize = 8;

/// Time for a link to come up again after a driver has stopped it to try native XDP.
const OWN_DOING: Duration = Duration::from_secs(10);

/// Why an interface is not in order.
#[derive(PartialEq)]
struct Trouble {
    event: Event,
    what: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub ifindex: u32,
    /// Indexes before it was recreated, latest first.
    former: Vec<u32>,
    pub link: LinkState,
    /// In bytes, without the Ethernet header.
    mtu: u32,
    pub mode: InterfaceMode,
    /// Reason why it is not in native mode although it may be.
    fallback: Option<String>,
    /// Time of the last failed attempt of native mode.
    tried: Option<Instant>,
    /// Reason why the program is not attached.
    trouble: Option<String>,
    guard: GuardHook,
    /// Reason why the host guard is not attached.
    unguarded: Option<String>,
}

/// Returns the configured interfaces: all must exist, unless they are among the former ones, and
/// none may have a foreign program.
pub async fn find(
    loaded: &Loaded,
    former: &[Interface],
    faults: &mut Vec<Fault>,
) -> Result<Vec<Interface>> {
    let mut found = Vec::new();
    for (place, name) in loaded.config.interfaces.iter().enumerate() {
        let known = former.iter().find(|known| known.name == *name);
        match (lb_neighbours::interface(name).await?, known) {
            (Some(link), known) => {
                let is_known = known.is_some_and(|known| known.ifindex == link.ifindex);
                let attached = lb_dataplane::is_attached(&loaded.config.bpffs, link.ifindex);
                if !is_known && !attached.unwrap_or(false) {
                    refuse_foreign(&link).await?;
                }
                let former = known.map(|known| known.former_of(link.ifindex)).unwrap_or_default();
                found.push(Interface { former, ..Interface::new(&link) });
            }
            (None, Some(known)) => found.push(known.clone()),
            (None, None) => faults.push(loaded.interface_fault(
                place,
                &format!("there is no interface {name}"),
                "`ip link` lists all interfaces",
            )),
        }
    }
    Ok(found)
}

/// Attaches the program to all existing interfaces.
pub async fn attach(
    dataplane: &mut Dataplane,
    mut interfaces: Vec<Interface>,
    wanted: XdpMode,
) -> Result<Vec<Interface>> {
    for interface in interfaces.iter_mut().filter(|one| one.link != LinkState::Gone) {
        // Before the program, so that no packet reaches the host's stack in between.
        interface.put_guard(dataplane, Present::IsReplaced);
        let fallback = put_on(dataplane, interface, wanted)?;
        interface.set_fallback(fallback);
        interface.mode = mode(interface.ifindex, dataplane.program_id()?).await?;
        if is_other(interface.mode, wanted) {
            let fallback = put_on_anew(dataplane, interface, wanted)?;
            interface.set_fallback(fallback);
            interface.mode = mode(interface.ifindex, dataplane.program_id()?).await?;
        }
    }
    Ok(interfaces)
}

/// Returns the changes of mode between lists of interfaces.
pub fn changes_of_mode(before: &[Interface], now: &[Interface]) -> Vec<Transition> {
    let known =
        now.iter().filter_map(|is| Some((is, before.iter().find(|was| was.name == is.name)?)));
    let changed = known.filter(|(is, was)| is.mode != was.mode);
    changed.flat_map(|(is, was)| is.changes_since(was)).collect()
}

/// Detaches the program from all other interfaces.
pub fn detach_others(dataplane: &mut Dataplane, interfaces: &[Interface]) -> Result<()> {
    let kept: Vec<u32> = interfaces.iter().filter_map(Interface::kept).collect();
    dataplane.detach_others(&kept)
}

/// Attaches the program to interfaces that were recreated or have lost it. Returns what there is to tell, or none
/// if nothing has changed.
pub async fn fix(
    dataplane: &mut Dataplane,
    interfaces: &mut [Interface],
    wanted: XdpMode,
) -> Result<Option<Vec<Transition>>> {
    let mut changes = None;
    for interface in interfaces.iter_mut() {
        let now = fixed(dataplane, interface, wanted).await?;
        if now != *interface {
            let changes: &mut Vec<_> = changes.get_or_insert_default();
            changes.extend(now.changes_since(interface));
            *interface = now;
        }
    }
    if changes.is_some() {
        detach_others(dataplane, interfaces)?;
    }
    Ok(changes)
}

async fn fixed(
    dataplane: &mut Dataplane,
    before: &Interface,
    wanted: XdpMode,
) -> Result<Interface> {
    let own = dataplane.program_id()?;
    let Some(link) = lb_neighbours::interface(&before.name).await? else {
        let mode = mode(before.ifindex, own).await?;
        return Ok(Interface { link: LinkState::Gone, mode, trouble: None, ..before.clone() });
    };
    let mut now = Interface { former: before.former_of(link.ifindex), ..Interface::new(&link) };
    now.put_guard(dataplane, Present::Stays);
    now.mode = mode(link.ifindex, own).await?;
    if now.mode != InterfaceMode::Detached {
        (now.fallback, now.tried) = (before.fallback.clone(), before.tried);
        if is_other(now.mode, wanted) && now.has_other_terms(before) {
            let fallback = put_on_anew(dataplane, &now, wanted)?;
            now.set_fallback(fallback);
            now.mode = mode(link.ifindex, own).await?;
        }
        return Ok(now);
    }
    match put_on(dataplane, &now, wanted) {
        Ok(fallback) => now.set_fallback(fallback),
        Err(error) => now.trouble = Some(format!("{error:#}")),
    }
    now.mode = mode(link.ifindex, own).await?;
    Ok(now)
}

/// Returns the actual mode of the program with the id `own`.
async fn mode(ifindex: u32, own: u32) -> Result<InterfaceMode> {
    let attached = lb_neighbours::xdp_attached(ifindex).await?;
    Ok(match attached.filter(|attached| attached.program_id == own) {
        None => InterfaceMode::Detached,
        Some(XdpAttached { mode: lb_neighbours::AttachMode::Generic, .. }) => {
            InterfaceMode::Generic
        }
        Some(_) => InterfaceMode::Native,
    })
}

/// Attaches the program. Returns the reason why native mode is not available, if the mode is
/// automatic.
fn put_on(
    dataplane: &mut Dataplane,
    Interface { name, ifindex, former, .. }: &Interface,
    wanted: XdpMode,
) -> Result<Option<String>> {
    dataplane.open_egress(*ifindex, former)?;
    if dataplane.replace_program(*ifindex)? {
        return Ok(None);
    }
    if wanted == XdpMode::Generic {
        dataplane.attach_generic(*ifindex).with_context(|| refused(name, "generic"))?;
        return Ok(None);
    }
    let native = dataplane.attach_native(*ifindex);
    let Err(error) = native else { return Ok(None) };
    if wanted == XdpMode::Native {
        return Err(error.context(refused(name, "native")));
    }
    let reason = format!("{error:#}");
    dataplane.attach_generic(*ifindex).with_context(|| refused(name, "generic"))?;
    log::warn!(interface = name, reason; "no native XDP: falling back to generic mode, which is slow");
    Ok(Some(reason))
}

/// Returns true if the program runs in another mode than it should, if possible.
fn is_other(mode: InterfaceMode, wanted: XdpMode) -> bool {
    matches!(
        (mode, wanted),
        (InterfaceMode::Generic, XdpMode::Native | XdpMode::Auto)
            | (InterfaceMode::Native, XdpMode::Generic)
    )
}

/// Detaches the program and attaches it in the other mode, as the kernel cannot change it: packets
/// go to the host in the meantime. If that fails, restores the previous mode. Returns the same
/// reason as [`put_on`].
fn put_on_anew(
    dataplane: &mut Dataplane,
    interface: &Interface,
    wanted: XdpMode,
) -> Result<Option<String>> {
    let (name, ifindex) = (&interface.name, interface.ifindex);
    log::info!(interface = name; "attaching the program again for another XDP mode");
    dataplane.detach_one(ifindex)?;
    let error = match put_on(dataplane, interface, wanted) {
        Ok(fallback) => return Ok(fallback),
        Err(error) => error,
    };
    if wanted == XdpMode::Generic {
        dataplane.attach_native(ifindex)?;
    } else {
        dataplane.attach_generic(ifindex)?;
    }
    Err(error)
}

fn refused(name: &str, mode: &str) -> String {
    format!("cannot attach to {name} in {mode} mode")
}

async fn refuse_foreign(link: &Link) -> Result<()> {
    let Some(attached) = lb_neighbours::xdp_attached(link.ifindex).await? else { return Ok(()) };
    let id = attached.program_id;
    let name = program_name(id).unwrap_or_else(|| "unnamed".to_owned());
    bail!(
        "{} has another XDP program attached (id {id}, {name}): {}",
        link.name,
        removal(link, attached, bpf::xdp_links().ok().as_deref())
    )
}

/// Returns instructions to detach a foreign program; its links are unknown without the permission
/// to list them.
fn removal(
    Link { name, ifindex, .. }: &Link,
    attached: XdpAttached,
    links: Option<&[XdpLink]>,
) -> String {
    let by_netlink = attached.detach_command(name);
    let Some(links) = links else {
        let program_id = attached.program_id;
        return format!(
            "stop the program that attached it; or detach it with `{by_netlink}`, or, if `bpftool \
             link show` lists a link of program {program_id}, with `bpftool link detach id LINK`"
        );
    };
    match attached.link(*ifindex, links) {
        Some(id) => format!(
            "BPF link {id} keeps it attached: stop the program that holds the link, as shown by \
             `bpftool link show id {id}`, or detach it with `bpftool link detach id {id}`"
        ),
        None => format!("detach it with `{by_netlink}`, or stop the program that attached it"),
    }
}

impl Interface {
    fn new(link: &Link) -> Self {
        Self {
            name: link.name.clone(),
            ifindex: link.ifindex,
            former: Vec::new(),
            link: if link.up { LinkState::Up } else { LinkState::Down },
            mtu: link.mtu,
            mode: InterfaceMode::Detached,
            fallback: None,
            tried: None,
            trouble: None,
            guard: GuardHook::Detached,
            unguarded: None,
        }
    }

    fn set_fallback(&mut self, reason: Option<String>) {
        self.tried = reason.is_some().then(Instant::now);
        self.fallback = reason;
    }

    /// Returns true if the link has come up or changed since, so that the driver may accept native
    /// XDP now. It is never tried without such an event, as drivers stop the link for it; events
    /// caused by that do not count.
    fn has_other_terms(&self, before: &Self) -> bool {
        let has_come_up = self.link == LinkState::Up && before.link != LinkState::Up;
        let is_own_doing = before.tried.is_some_and(|tried| tried.elapsed() < OWN_DOING);
        (has_come_up || self.mtu != before.mtu) && !is_own_doing
    }

    fn put_guard(&mut self, dataplane: &mut Dataplane, present: Present) {
        let attached = dataplane.guard(self.ifindex, present);
        self.unguarded = attached.as_ref().err().map(|error| format!("{error:#}"));
        self.guard = attached.unwrap_or(GuardHook::Detached);
    }

    /// Returns the former indexes of the interface that has this index now.
    fn former_of(&self, ifindex: u32) -> Vec<u32> {
        let present = (ifindex != self.ifindex).then_some(self.ifindex);
        present.into_iter().chain(self.former.iter().copied()).take(FORMER).collect()
    }

    /// Returns its index, unless the interface is gone.
    fn kept(&self) -> Option<u32> {
        let is_left = self.link != LinkState::Gone || self.mode != InterfaceMode::Detached;
        is_left.then_some(self.ifindex)
    }

    fn changes_since(&self, before: &Self) -> Vec<Transition> {
        let of = |transition: Transition| {
            let mode = lb_config::word(&self.mode);
            transition.with(EventKey::Interface, self.name.as_str()).with(EventKey::Mode, mode)
        };
        let (trouble, former) = (self.trouble(), before.trouble());
        let mut changes = Vec::new();
        if self.ifindex != before.ifindex {
            changes.push(of(Transition::new(Event::InterfaceRecreated)));
        }
        if trouble.is_none() && former.is_some() || self.forwards() && !before.forwards() {
            changes.push(of(Transition::new(Event::InterfaceUp)));
        }
        let news = trouble.filter(|trouble| former.as_ref() != Some(trouble));
        changes.extend(news.map(|Trouble { event, reason, .. }| {
            let change = of(Transition::new(event));
            if reason.is_empty() { change } else { change.with(EventKey::Reason, reason) }
        }));
        changes
    }

    fn forwards(&self) -> bool {
        self.link == LinkState::Up && self.mode != InterfaceMode::Detached
    }

    /// Returns an interface that is up, with a program in this mode.
    #[cfg(test)]
    pub(super) fn of_mode(mode: InterfaceMode) -> Self {
        let (mac, parent, controller) = Default::default();
        let (name, ifindex, mtu, up) = ("eth0".to_owned(), 3, 1500, true);
        Self { mode, ..Self::new(&Link { name, ifindex, mtu, up, mac, parent, controller }) }
    }

    /// Returns a warning if the interface is not in order.
    pub fn warning(&self) -> Option<String> {
        let Trouble { what, reason, event } = self.trouble()?;
        let name = &self.name;
        // Of an interface that does not forward, the reason says all.
        Some(match (event, reason.as_str()) {
            (Event::InterfaceDown, reason) => format!("{name} {reason}"),
            (_, "") => format!("{name} {what}"),
            (_, reason) => format!("{name} {what}: {reason}"),
        })
    }

    /// Returns why packets do not come in here, nor leave.
    pub(super) fn outage(&self) -> Option<String> {
        let trouble = self.trouble_of_program()?;
        let is_out = trouble.event == Event::InterfaceDown && self.link != LinkState::Gone;
        is_out.then(|| format!("{} {}", self.name, trouble.reason))
    }

    fn trouble(&self) -> Option<Trouble> {
        self.trouble_of_program().or_else(|| self.trouble_of_guard())
    }

    fn trouble_of_guard(&self) -> Option<Trouble> {
        let reason = self.unguarded.clone()?;
        let what = "has no host guard: connections end when the program is detached for a moment";
        Some(Trouble { event: Event::InterfaceUnguarded, what, reason })
    }

    fn trouble_of_program(&self) -> Option<Trouble> {
        let reason = match (self.link, self.mode) {
            (LinkState::Gone, InterfaceMode::Detached) => {
                "is gone: forwarding resumes when an interface of that name appears".to_owned()
            }
            (LinkState::Gone, _) => {
                "was renamed: packets are forwarded through it until it is gone".to_owned()
            }
            (_, InterfaceMode::Detached) => match &self.trouble {
                Some(trouble) => format!("has no program attached: {trouble}"),
                None => "has no program attached".to_owned(),
            },
            (LinkState::Down, _) => "is down".to_owned(),
            (LinkState::Up, InterfaceMode::Generic) => {
                let reason = self.fallback.clone().unwrap_or_default();
                let what = "runs in generic mode, which is slow";
                return Some(Trouble { event: Event::InterfaceGeneric, what, reason });
            }
            (LinkState::Up, InterfaceMode::Native) => return None,
        };
        Some(Trouble { event: Event::InterfaceDown, what: "does not forward", reason })
    }
}

impl From<&Interface> for InterfaceView {
    fn from(interface: &Interface) -> Self {
        let Interface { name, ifindex, link, mode, guard, .. } = interface;
        Self { name: name.clone(), ifindex: *ifindex, link: *link, mode: *mode, guard: *guard }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_returns_is_logged_in_generic_mode_too() {
        let (mac, parent, controller) = Default::default();
        let (name, ifindex, mtu, up) = ("eth0".to_owned(), 3, 1500, true);
        let link = Link { name, ifindex, mtu, up, mac, parent, controller };
        for (mode, warnings) in [(InterfaceMode::Native, 0), (InterfaceMode::Generic, 1)] {
            let up = Interface { mode, ..Interface::new(&link) };
            let down = Interface { link: LinkState::Down, ..up.clone() };
            let lines = |is: &Interface, was: &Interface| -> Vec<_> {
                is.changes_since(was).iter().map(Transition::line).collect()
            };
            let word = lb_config::word(&mode);
            let keys = format!("interface=eth0 mode={word}");
            let back = format!("interface is up, with the program attached {keys}");
            let told = lines(&up, &down);
            assert_eq!((&told[0], told.len()), (&back, 1 + warnings), "{told:?}");
            let recreated = Interface { ifindex: 4, ..up.clone() };
            assert_eq!(lines(&recreated, &up), [format!("interface was recreated {keys}")]);
            let other_mtu = Interface { mtu: 9000, ..up.clone() };
            assert_eq!(lines(&other_mtu, &up), [""; 0], "the same trouble as before");
            let lost = format!("interface does not forward {keys} reason=\"is down\"");
            assert_eq!(lines(&down, &up), [lost]);
            assert_eq!(down.warning().as_deref(), Some("eth0 is down"));
        }
    }
}
