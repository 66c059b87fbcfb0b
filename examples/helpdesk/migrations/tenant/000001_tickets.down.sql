DROP TABLE comments;
DROP TABLE tickets;
