mod chain;
mod lookups;
mod records;
