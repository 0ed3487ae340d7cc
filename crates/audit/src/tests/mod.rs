mod chain;
mod faults;
mod lookups;
mod records;
