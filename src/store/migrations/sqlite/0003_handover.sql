-- Checkpoints that hand over from one signing key to the next are kept for ever.
ALTER TABLE checkpoint ADD COLUMN handover INTEGER NOT NULL DEFAULT 0;
