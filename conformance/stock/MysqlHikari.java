// HikariCP on MariaDB Connector/J, untuned; the sibling of Hibernate.java. suites/mysql_program.py runs this where two backends are shared, and sees that nothing pins.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public final class MysqlHikari {
  private static final Map<String, String> OPTIONS = new HashMap<>();

  interface Check {
    void run() throws Exception;
  }

  public static void main(String[] words) throws Exception {
    for (int i = 0; i + 1 < words.length; i += 2) {
      OPTIONS.put(words[i].substring(2), words[i + 1]);
    }
    java.util.logging.LogManager.getLogManager().reset();
    Map<String, Check> checks = new LinkedHashMap<>();
    checks.put("hikari_lends_connections_to_threads", MysqlHikari::threads);
    checks.put("hikari_gives_back_what_was_changed", MysqlHikari::resets);
    checks.put("hikari_with_everything_configured", MysqlHikari::configured);
    checks.put("statements_in_batches_and_streams", MysqlHikari::batches);
    checks.put("what_hibernate_sends", MysqlHikari::hibernate);
    int failures = 0;
    try (HikariDataSource pool = new HikariDataSource(config(1)); Connection c = pool.getConnection()) {
      System.out.println(c.getMetaData().getDriverName() + " " + c.getMetaData().getDriverVersion() + ", HikariCP of Debian, Java " + System.getProperty("java.version"));
    }
    for (Map.Entry<String, Check> one : checks.entrySet()) {
      if (!one.getKey().contains(OPTIONS.getOrDefault("match", ""))) {
        continue;
      }
      try {
        one.getValue().run();
        System.out.println("ok " + one.getKey());
      } catch (Throwable error) {
        failures++;
        Throwable cause = error.getCause() == null ? error : error.getCause();
        String reason = (error + " / " + cause + " " + Arrays.toString(cause.getStackTrace())).replaceAll("\\s+", " ");
        System.out.println("FAIL " + one.getKey() + ": " + reason.substring(0, Math.min(reason.length(), 900)));
      }
    }
    System.out.println("done");
    System.exit(failures == 0 ? 0 : 1);
  }

  private static HikariConfig config(int most) {
    HikariConfig c = new HikariConfig();
    c.setJdbcUrl("jdbc:mariadb://" + OPTIONS.get("host") + ":" + OPTIONS.get("port") + "/" + OPTIONS.get("database") + "?allowPublicKeyRetrieval=true&useSSL=false");
    c.setUsername(OPTIONS.get("user"));
    c.setPassword(OPTIONS.get("password"));
    c.setMaximumPoolSize(most);
    c.setConnectionTimeout(20000);
    return c;
  }

  private static void equal(Object got, Object wanted, String what) {
    if (!wanted.equals(got)) {
      throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
    }
  }

  private static String value(Connection c, String sql, Object... parameters) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) {
        s.setObject(i + 1, parameters[i]);
      }
      try (ResultSet r = s.executeQuery()) {
        r.next();
        return r.getString(1);
      }
    }
  }

  private static void execute(Connection c, String... statements) throws SQLException {
    try (Statement s = c.createStatement()) {
      for (String sql : statements) {
        s.execute(sql);
      }
    }
  }

  private static void threads() throws Exception {
    try (HikariDataSource pool = new HikariDataSource(config(6))) {
      List<Callable<Void>> work = new ArrayList<>();
      for (int i = 0; i < 120; i++) {
        int n = i;
        work.add(() -> {
          try (Connection c = pool.getConnection()) {
            c.setAutoCommit(n % 2 == 0);
            equal(value(c, "select concat(?, @@autocommit + 0)", n), n + (n % 2 == 0 ? "1" : "0"), "answer");
            equal(value(c, "select @@sql_mode like '%STRICT_TRANS_TABLES%'"), "1", "what the driver sets at connect");
            if (n % 4 == 1) {
              c.commit();
            }
          }
          return null;
        });
      }
      ExecutorService executor = Executors.newFixedThreadPool(12);
      for (Future<Void> done : executor.invokeAll(work)) {
        done.get();
      }
      executor.shutdown();
    }
  }

  private static int isolation(Connection c) throws SQLException {
    return c.getTransactionIsolation();
  }

  private static void resets() throws Exception {
    HikariConfig config = config(1);
    config.setCatalog(OPTIONS.get("database"));
    try (HikariDataSource pool = new HikariDataSource(config)) {
      for (int i = 0; i < 6; i++) {
        try (Connection c = pool.getConnection()) {
          equal(isolation(c), Connection.TRANSACTION_REPEATABLE_READ, "isolation as it comes");
          equal(value(c, "select database()"), OPTIONS.get("database"), "the database as it comes");
          c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
          c.setReadOnly(true);
          c.setCatalog("information_schema");
          equal(isolation(c), Connection.TRANSACTION_SERIALIZABLE, "isolation");
          equal(value(c, "select database()"), "information_schema", "the database");
          c.setAutoCommit(false);
          equal(value(c, "select 1"), "1", "an answer in a transaction");
          c.rollback();
          c.setAutoCommit(true);
          c.setNetworkTimeout(Runnable::run, 20000);
        }
      }
    }
  }

  private static void configured() throws Exception {
    HikariConfig config = config(3);
    config.setAutoCommit(false);
    config.setReadOnly(true);
    config.setTransactionIsolation("TRANSACTION_READ_COMMITTED");
    config.setConnectionInitSql("SET group_concat_max_len = 5000");
    config.setConnectionTestQuery("SELECT 1");
    config.setMinimumIdle(3);
    config.setIsolateInternalQueries(true);
    config.addDataSourceProperty("useServerPrepStmts", "true");
    config.addDataSourceProperty("sessionVariables", "lc_time_names='de_DE',time_zone='+02:00'");
    try (HikariDataSource pool = new HikariDataSource(config)) {
      for (int i = 0; i < 12; i++) {
        try (Connection c = pool.getConnection()) {
          equal(value(c, "select concat_ws(' ', @@group_concat_max_len, @@lc_time_names, @@time_zone)"), "5000 de_DE +02:00", "settings");
          equal(isolation(c), Connection.TRANSACTION_READ_COMMITTED, "isolation");
          equal(value(c, "select ? + 1", i), String.valueOf(i + 1), "sum");
          c.commit();
        }
      }
    }
  }

  private static void batches() throws Exception {
    HikariConfig config = config(2);
    config.addDataSourceProperty("useServerPrepStmts", "true");
    config.addDataSourceProperty("rewriteBatchedStatements", "true");
    try (HikariDataSource pool = new HikariDataSource(config); Connection c = pool.getConnection()) {
      execute(c, "drop table if exists conformance_hikari", "create table conformance_hikari (id int auto_increment primary key, v varchar(50)) character set utf8mb4");
      try (PreparedStatement s = c.prepareStatement("insert into conformance_hikari (v) values (?)", Statement.RETURN_GENERATED_KEYS)) {
        for (int i = 0; i < 500; i++) {
          s.setString(1, "Ünal 🐟 " + i);
          s.addBatch();
        }
        equal(s.executeBatch().length, 500, "rows of a batch");
      }
      try (Statement s = c.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
        s.setFetchSize(10);
        int rows = 0;
        try (ResultSet r = s.executeQuery("select v from conformance_hikari order by id")) {
          while (r.next()) {
            equal(r.getString(1), "Ünal 🐟 " + rows++, "row");
          }
        }
        equal(rows, 500, "rows of a stream");
      }
      execute(c, "drop table conformance_hikari");
    }
  }

  private static void hibernate() throws Exception {
    try (HikariDataSource pool = new HikariDataSource(config(2))) {
      try (Connection c = pool.getConnection()) {
        execute(c, "drop table if exists conformance_hibernate", "create table conformance_hibernate (id bigint not null auto_increment, name varchar(255), version integer, primary key (id)) engine=InnoDB");
      }
      for (int i = 0; i < 10; i++) {
        try (Connection c = pool.getConnection()) {
          c.setAutoCommit(false);
          try (PreparedStatement s = c.prepareStatement("insert into conformance_hibernate (name, version) values (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            s.setString(1, "thing " + i);
            s.setInt(2, 0);
            s.executeUpdate();
            try (ResultSet keys = s.getGeneratedKeys()) {
              keys.next();
              equal(keys.getLong(1), i + 1L, "key");
            }
          }
          equal(value(c, "select name from conformance_hibernate where id=? for update", i + 1L), "thing " + i, "name");
          try (PreparedStatement s = c.prepareStatement("update conformance_hibernate set name=?, version=? where id=? and version=?")) {
            s.setString(1, "new " + i);
            s.setInt(2, 1);
            s.setLong(3, i + 1L);
            s.setInt(4, 0);
            equal(s.executeUpdate(), 1, "rows updated");
          }
          c.commit();
          c.setAutoCommit(true);
        }
      }
      try (Connection c = pool.getConnection()) {
        equal(value(c, "select count(*) from conformance_hibernate where name like 'new%'"), "10", "rows");
        execute(c, "drop table conformance_hibernate");
      }
    }
  }
}
