//! Named network namespaces, as of `ip netns`.

use std::{
    fs::{self, File},
    io,
    mem::ManuallyDrop,
    net::Ipv4Addr,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    panic,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use futures_util::TryStreamExt as _;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rtnetlink::{
    Handle, LinkUnspec, RouteMessageBuilder,
    packet_route::link::{LinkAttribute, LinkFlags},
};
use tokio::runtime;

use super::{pass, propagation};
use lb_host::netlink;

const DIRECTORY: &str = "/run/netns";

/// Alias of the loopback interface of every namespace created here, to tell them from foreign ones.
const MARK: &str = "made by xdplb";

/// A network namespace, removed with its processes on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates a namespace whose loopback interface is up and marked.
    pub fn create(name: &str) -> Result<Self> {
        let path = path(name);
        propagation::share(Path::new(DIRECTORY))?;
        File::create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => anyhow!(
                "the network namespace {name} exists already: `ip netns delete {name}` removes it"
            ),
            _ => anyhow!("cannot make {}: {error}", path.display()),
        })?;
        let namespace = Self { name: name.to_owned() };
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            mount(
                Some("/proc/thread-self/ns/net"),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
        })
        .with_context(|| format!("cannot make the network namespace {name}: are you root?"))?;
        namespace.mark()?;
        Ok(namespace)
    }

    fn mark(&self) -> Result<()> {
        self.configure(async |netlink| {
            let mark = LinkAttribute::IfAlias(MARK.to_owned());
            let change = LinkUnspec::new_with_name("lo").up().append_extra_attribute(mark);
            Ok(netlink.link().change(change.build()).execute().await?)
        })
        .with_context(|| format!("cannot set up lo in {}", self.name))
    }

    fn is_marked(&self) -> Result<bool> {
        self.configure(async |netlink| {
            let link = netlink::link(&netlink, "lo").await?;
            let mark = LinkAttribute::IfAlias(MARK.to_owned());
            Ok(link.is_some_and(|link| link.attributes.contains(&mark)))
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the namespace's file.
    pub(super) fn open(&self) -> Result<File> {
        let path = path(&self.name);
        File::open(&path).with_context(|| format!("cannot open {}", path.display()))
    }

    /// Runs work in a thread within the namespace and waits for it. A panic is propagated.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = self.open()?;
        in_thread(move || -> nix::Result<T> {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
        .with_context(|| format!("cannot enter the network namespace {}", self.name))
    }

    /// Like [`run`](Self::run), in a tokio runtime of its own.
    pub fn run_async<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> Result<T> {
        self.run(|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            Ok(runtime?.block_on(work()))
        })?
    }

    /// Starts a process in the namespace. It shares the host's mounts, /sys included.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().display().to_string();
        self.run(|| command.spawn())?.with_context(|| format!("cannot start {program}"))
    }

    /// Sets a sysctl of the namespace, like `net.ipv4.ip_forward`.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.run(|| fs::write(path, value))?
            .with_context(|| format!("cannot set {key} to {value} in {}", self.name))
    }

    pub(super) fn remove_link(&self, interface: &str) -> Result<()> {
        self.configure(async |netlink| {
            let link = netlink::link(&netlink, interface)
                .await?
                .with_context(|| format!("there is no interface {interface}"))?;
            Ok(netlink.link().del(link.header.index).execute().await?)
        })
        .with_context(|| format!("cannot remove {interface}"))
    }

    pub(super) fn set_up(&self, interface: &str) -> Result<()> {
        self.configure(async |netlink| {
            let change = LinkUnspec::new_with_name(interface).up().build();
            Ok(netlink.link().change(change).execute().await?)
        })
        .with_context(|| format!("cannot set {interface} up"))
    }

    /// Adds an IPv4 address to an interface.
    pub fn add_address(&self, interface: &str, address: Ipv4Addr, prefix_length: u8) -> Result<()> {
        self.configure(async |netlink| {
            let link = netlink::link(&netlink, interface)
                .await?
                .with_context(|| format!("there is no interface {interface}"))?;
            let add = netlink.address().add(link.header.index, address.into(), prefix_length);
            Ok(add.execute().await?)
        })
        .with_context(|| format!("cannot give {interface} the address {address}/{prefix_length}"))
    }

    /// Adds a route via a gateway.
    pub fn add_route(&self, to: Ipv4Addr, prefix_length: u8, gateway: Ipv4Addr) -> Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, prefix_length)
            .gateway(gateway)
            .build();
        self.configure(async |netlink| Ok(netlink.route().add(route).execute().await?))
            .with_context(|| format!("cannot add a route to {to}/{prefix_length} over {gateway}"))
    }

    /// Sets the MTU, in bytes, of all interfaces but the loopback.
    pub fn set_mtu(&self, mtu: u32) -> Result<()> {
        self.configure(async |netlink| {
            let mut links = netlink.link().get().execute();
            while let Some(link) = links.try_next().await? {
                if !link.header.flags.contains(LinkFlags::Loopback) {
                    let change = LinkUnspec::new_with_index(link.header.index).mtu(mtu);
                    netlink.link().change(change.build()).execute().await?;
                }
            }
            Ok(())
        })
        .with_context(|| format!("cannot set the MTU of {} to {mtu}", self.name))
    }

    /// Attaches a native XDP program that passes all frames to an interface.
    pub fn attach_pass(&self, interface: &str) -> Result<()> {
        self.configure(async |netlink| pass::attach(&netlink, interface).await)
            .with_context(|| format!("cannot attach an XDP program to {interface}"))
    }

    /// Sends rtnetlink requests within the namespace.
    pub fn configure<T: Send>(
        &self,
        work: impl AsyncFnOnce(Handle) -> Result<T> + Send,
    ) -> Result<T> {
        self.run_async(async || work(netlink::connect()?).await)?
            .with_context(|| format!("cannot configure the network namespace {}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            log::warn!("{error:#}");
        }
    }
}

/// Returns the names of all named namespaces.
pub(super) fn names() -> Result<Vec<String>> {
    let entries = match fs::read_dir(DIRECTORY) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {DIRECTORY}")),
    };
    entries
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect::<io::Result<_>>()
        .with_context(|| format!("cannot read {DIRECTORY}"))
}

/// Returns true if a namespace was created here. One that cannot be entered is foreign.
pub(super) fn is_own(name: &str) -> bool {
    // Not dropped, as that would remove it.
    let namespace = ManuallyDrop::new(Namespace { name: name.to_owned() });
    namespace.is_marked().unwrap_or_default()
}

/// Removes a namespace and kills its processes.
pub(super) fn remove(name: &str) -> Result<()> {
    let path = path(name);
    kill_processes(&path).with_context(|| format!("cannot end the processes in {name}"))?;
    // A namespace whose creation failed is a plain file.
    match umount2(&path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot unmount {}", path.display()));
        }
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

fn kill_processes(namespace: &Path) -> io::Result<()> {
    let namespace = fs::metadata(namespace)?;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The process may have exited.
        let Ok(its) = fs::metadata(entry.path().join("ns/net")) else {
            continue;
        };
        if (its.dev(), its.ino()) == (namespace.dev(), namespace.ino()) && pid != own_pid() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    Ok(())
}

fn own_pid() -> i32 {
    Pid::this().as_raw()
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}
