-- The tables of shop.yaml. Type it through the gate: it makes them on every shard.
--
--   mitosis mysql shop --as owner < manifests/examples/shop.sql

CREATE TABLE IF NOT EXISTS countries (
  code CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name VARCHAR(40) NOT NULL
);

CREATE TABLE IF NOT EXISTS users (
  user_id BIGINT NOT NULL PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  email VARCHAR(120) NOT NULL,
  country CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  joined DATE NOT NULL
);

CREATE TABLE IF NOT EXISTS orders (
  user_id BIGINT NOT NULL,
  order_id BIGINT NOT NULL,
  ordered_at DATETIME NOT NULL,
  total DECIMAL(10, 2) NOT NULL,
  PRIMARY KEY (user_id, order_id)
);

CREATE TABLE IF NOT EXISTS order_items (
  user_id BIGINT NOT NULL,
  order_id BIGINT NOT NULL,
  position INT NOT NULL,
  product VARCHAR(60) NOT NULL,
  quantity INT NOT NULL,
  price DECIMAL(10, 2) NOT NULL,
  PRIMARY KEY (user_id, order_id, position)
);
