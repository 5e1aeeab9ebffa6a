//! The desired state: one versioned document that the file, the command line and the API all edit.
//! No aya, and no I/O except the journal's.

mod edit;
mod journal;
mod losses;
mod rules;
mod steps;
mod succession;
mod versions;
mod warnings;
mod writer;

use std::sync::Arc;

use imbl::OrdMap;
use lb_model::Service;

pub use self::{
    edit::{edited, named},
    journal::JournalSize,
    losses::{Losses, loss_files},
    rules::{clash, violation},
    steps::{changes, steps},
    succession::successions,
    versions::{Author, Desired, Kept, Recording, Version},
    warnings::warnings,
};

/// All services by name. Clones share unchanged services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    services: OrdMap<String, Arc<Service>>,
}

/// Changes from one document to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Services that are new or changed.
    pub set: Vec<Arc<Service>>,
    /// Names of removed services.
    pub removed: Vec<String>,
}

impl Document {
    #[must_use]
    pub fn of(services: impl IntoIterator<Item = Service>) -> Self {
        let named = services.into_iter().map(|one| (one.name.clone(), Arc::new(one)));
        Self { services: named.collect() }
    }

    /// Returns the services, sorted by name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    #[must_use]
    pub fn with(&self, service: Service) -> Self {
        Self { services: self.services.update(service.name.clone(), Arc::new(service)) }
    }

    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        Self { services: self.services.without(name) }
    }

    /// Returns the document with the admin states of backends that are in both documents taken from
    /// the other one: the file format has no "drain" and "disable", so reading a file must not
    /// reset them. A renamed service keeps them.
    #[must_use]
    pub fn with_orders_of(&self, other: &Self) -> Self {
        let difference = self.since(other);
        let names = difference.set.iter().map(|service| &service.name).chain(&difference.removed);
        let formers: Vec<_> = names.filter_map(|name| other.service(name).cloned()).collect();
        let successions = successions(&formers, &difference.set);
        let mut document = self.clone();
        for (service, former) in difference.set.iter().zip(successions) {
            let mut ordered = Service::clone(service);
            let same_name = other.service(&service.name);
            let continued = former.map(|nth| &formers[nth]);
            same_name.into_iter().chain(continued).for_each(|one| ordered.keep_orders_of(one));
            if ordered != **service {
                document = document.with(ordered);
            }
        }
        document
    }

    /// Returns the same document, sharing the services that are equal in the other one.
    #[must_use]
    fn sharing(mut self, other: &Self) -> Self {
        let equals = other.services().filter(|theirs| {
            let own = self.service(&theirs.name);
            own.is_some_and(|own| !Arc::ptr_eq(own, theirs) && own == *theirs)
        });
        let equals: Vec<_> = equals.cloned().collect();
        for theirs in equals {
            self.services.insert(theirs.name.clone(), theirs);
        }
        self
    }

    /// Returns the changes that turn the other document into this one.
    #[must_use]
    pub fn since(&self, other: &Self) -> Difference {
        let mut difference = Difference::default();
        for item in other.services.diff(&self.services) {
            match item {
                imbl::ordmap::DiffItem::Add(_, service)
                | imbl::ordmap::DiffItem::Update { new: (_, service), .. } => {
                    difference.set.push(Arc::clone(service));
                }
                imbl::ordmap::DiffItem::Remove(name, _) => difference.removed.push(name.clone()),
            }
        }
        difference
    }

    #[must_use]
    pub fn after(&self, difference: &Difference) -> Self {
        let mut services = self.services.clone();
        for name in &difference.removed {
            services.remove(name);
        }
        for service in &difference.set {
            services.insert(service.name.clone(), Arc::clone(service));
        }
        Self { services }
    }
}

impl Difference {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests;
