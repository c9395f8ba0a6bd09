//! What the tenant's grants permit, what operators add, and what neither can get past.

mod decisions;
mod facts;
mod fixture;
mod grants;
mod loading;
