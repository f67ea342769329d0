-- Runs of Central, which version 5 replaced by one epoch, and the one that fenced it.
INSERT INTO incarnations VALUES ('0199c2a0-1111-7000-8000-000000000001',5), ('0199c2a0-0000-7000-8000-000000000001',4);
INSERT INTO settings VALUES ('fenced_by','03b3d6f8-0c00-7000-8000-000000000001');
