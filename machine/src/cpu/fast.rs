//! The tables through which a CPU's compiled code reaches memory: one per set of rights, those of EL0 one per address
//! space, so that a context switch drops nothing.

use jib_backend::tlb::{Table, Translation};

use super::tlb::Rights;

/// Address spaces whose EL0 tables are kept.
const SPACES: usize = 8;

/// The table of EL0 in one address space.
struct El0 {
    asid: u16,
    /// When it was last chosen.
    used: u64,
    table: Table,
}

/// All tables of a CPU.
pub struct Fast {
    /// Of EL1 without and with PSTATE.PAN.
    el1: [Table; 2],
    el0: Vec<El0>,
    current: usize,
    clock: u64,
}

impl Default for Fast {
    fn default() -> Self {
        let el0 = vec![El0 { asid: 0, used: 0, table: Table::default() }];
        Fast { el1: Default::default(), el0, current: 0, clock: 0 }
    }
}

impl Fast {
    /// Makes `asid` the current address space.
    pub fn set_asid(&mut self, asid: u16) {
        if self.el0[self.current].asid == asid {
            return;
        }
        self.el1.iter_mut().for_each(Table::flush_private);
        self.clock += 1;
        self.current = match self.el0.iter().position(|e| e.asid == asid) {
            Some(known) => known,
            None if self.el0.len() < SPACES => {
                self.el0.push(El0 { asid, used: 0, table: Table::default() });
                self.el0.len() - 1
            }
            None => {
                let oldest = (0..SPACES).min_by_key(|&i| self.el0[i].used).unwrap_or(0);
                self.el0[oldest].table.flush();
                self.el0[oldest].asid = asid;
                oldest
            }
        };
        self.el0[self.current].used = self.clock;
    }

    fn table(&self, rights: Rights) -> &Table {
        if rights.el0 { &self.el0[self.current].table } else { &self.el1[rights.pan as usize] }
    }

    /// Host address of the table for accesses with `rights`.
    pub fn address(&self, rights: Rights) -> u64 {
        self.table(rights).address()
    }

    /// Puts a translation into the table of `rights`.
    pub fn fill(&mut self, rights: Rights, translation: &Translation) {
        let table = if rights.el0 { &mut self.el0[self.current].table } else { &mut self.el1[rights.pan as usize] };
        table.fill(translation);
    }

    fn each(&mut self, f: impl Fn(&mut Table)) {
        self.of(None).for_each(f);
    }

    /// The tables that may hold what belongs to `asid`, or to all address spaces; without one all.
    fn of(&mut self, asid: Option<u16>) -> impl Iterator<Item = &mut Table> {
        let meant = move |e: &&mut El0| asid.is_none_or(|asid| e.asid == asid) || e.table.has_global();
        self.el1.iter_mut().chain(self.el0.iter_mut().filter(meant).map(|e| &mut e.table))
    }

    /// Drops everything.
    pub fn flush(&mut self) {
        self.each(Table::flush);
    }

    /// Drops what belongs to `asid`.
    pub fn flush_asid(&mut self, asid: u16) {
        if self.el0[self.current].asid == asid {
            self.el1.iter_mut().for_each(Table::flush_private);
        }
        self.el0.iter_mut().filter(|e| e.asid == asid).for_each(|e| e.table.flush());
    }

    /// Drops `pages` pages from `va` on that belong to `asid`, or to all address spaces; without one, in every space.
    pub fn flush_pages(&mut self, va: u64, pages: u64, asid: Option<u16>) {
        self.of(asid).for_each(|t| t.flush_pages(va, pages));
    }

    /// Makes writes to the page at host address `host` miss.
    pub fn forbid_writes(&mut self, host: u64) {
        self.each(|t| t.forbid_writes(host));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EL0: Rights = Rights { el0: true, pan: false };
    const EL1: Rights = Rights { el0: false, pan: true };

    fn page(address: u64, private: bool) -> Translation {
        Translation { address, host: 0x7000_0000, read: true, write: true, shift: 12, private }
    }

    #[test]
    fn a_switch_and_back_keeps_el0_and_drops_what_el1_saw_of_the_other() {
        let mut f = Fast::default();
        f.set_asid(1);
        f.fill(EL0, &page(0x1000, true));
        f.fill(EL1, &page(0x2000, true));
        f.fill(EL1, &page(0xffff_0000_0000_3000, false));
        f.set_asid(2);
        assert_eq!(f.table(EL0).find(0x1000, 1, false), None);
        assert_eq!(f.table(EL1).find(0x2000, 1, false), None);
        f.set_asid(1);
        assert!(f.table(EL0).find(0x1000, 1, false).is_some());
        assert!(f.table(EL1).find(0xffff_0000_0000_3000, 1, false).is_some());
        f.flush_asid(1);
        assert_eq!(f.table(EL0).find(0x1000, 1, false), None);
    }

    #[test]
    fn a_page_goes_in_the_address_space_that_is_named_and_where_it_is_everybodys() {
        let mut f = Fast::default();
        let known = |f: &mut Fast, asid, va| {
            f.set_asid(asid);
            f.table(EL0).find(va, 1, false).is_some()
        };
        for asid in 1..4 {
            f.set_asid(asid);
            f.fill(EL0, &page(0x1000, true));
        }
        f.fill(EL0, &page(0x2000, false));
        f.flush_pages(0x1000, 1, Some(1));
        assert_eq!([1, 2].map(|asid| known(&mut f, asid, 0x1000)), [false, true]);
        f.flush_pages(0x1000, 2, Some(1));
        assert!(!known(&mut f, 3, 0x2000), "global");
        assert!(known(&mut f, 2, 0x1000));
        f.flush_pages(0x1000, 1, None);
        assert!(!known(&mut f, 2, 0x1000));
    }

    #[test]
    fn more_spaces_than_tables() {
        let mut f = Fast::default();
        for asid in 1..20 {
            f.set_asid(asid);
            assert_eq!(f.table(EL0).find(0x1000, 1, false), None, "another's");
            f.fill(EL0, &page(0x1000, true));
        }
        assert_eq!(f.el0.len(), SPACES);
    }
}
