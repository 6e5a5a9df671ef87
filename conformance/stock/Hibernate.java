// HikariCP and Hibernate on pgjdbc, untuned. suites/stock_program.py runs this where two backends are shared, and sees that nothing pins.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.math.BigDecimal;
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
import org.hibernate.LockMode;
import org.hibernate.ScrollableResults;
import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.Transaction;
import org.hibernate.cfg.Configuration;

public final class Hibernate {
  private static final Map<String, String> OPTIONS = new HashMap<>();

  interface Check {
    void run() throws Exception;
  }

  public static void main(String[] words) {
    for (int i = 0; i + 1 < words.length; i += 2) {
      OPTIONS.put(words[i].substring(2), words[i + 1]);
    }
    // The source launcher has a loader of its own, which Hibernate has to be told about.
    Thread.currentThread().setContextClassLoader(Hibernate.class.getClassLoader());
    java.util.logging.LogManager.getLogManager().reset();
    Map<String, Check> checks = new LinkedHashMap<>();
    checks.put("hikari_lends_connections_to_threads", Hibernate::hikariThreads);
    checks.put("hikari_gives_back_what_was_changed", Hibernate::hikariResets);
    checks.put("hikari_with_everything_configured", Hibernate::hikariConfigured);
    checks.put("hibernate_makes_its_tables_and_works", Hibernate::hibernate);
    checks.put("hibernate_in_threads", Hibernate::hibernateThreads);
    checks.put("what_newer_versions_of_hibernate_send", Hibernate::newerHibernate);
    int failures = 0;
    System.out.println("HikariCP and Hibernate of Debian, pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION + ", Java " + System.getProperty("java.version"));
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

  private static String url() {
    return "jdbc:postgresql://" + OPTIONS.get("host") + ":" + OPTIONS.get("port") + "/" + OPTIONS.get("database");
  }

  private static HikariConfig config(int most) {
    HikariConfig c = new HikariConfig();
    c.setJdbcUrl(url());
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

  private static void inThreads(int threads, List<Callable<Void>> work) throws Exception {
    ExecutorService executor = Executors.newFixedThreadPool(threads);
    for (Future<Void> done : executor.invokeAll(work)) {
      done.get();
    }
    executor.shutdown();
  }

  private static void hikariThreads() throws Exception {
    try (HikariDataSource pool = new HikariDataSource(config(6))) {
      List<Callable<Void>> work = new ArrayList<>();
      for (int i = 0; i < 120; i++) {
        int n = i;
        work.add(() -> {
          try (Connection c = pool.getConnection()) {
            c.setAutoCommit(n % 2 == 0);
            equal(value(c, "select ?::int || current_setting('application_name')", n), n + "PostgreSQL JDBC Driver", "answer");
            equal(value(c, "select current_setting('datestyle') || current_setting('extra_float_digits') || current_setting('timezone')"),
                "ISO, MDY3" + java.util.TimeZone.getDefault().getID(), "what the driver sets at connect");
            if (n % 4 == 1) {
              c.commit();
            }
          }
          return null;
        });
      }
      inThreads(12, work);
    }
  }

  private static void hikariResets() throws Exception {
    HikariConfig config = config(1);
    config.addDataSourceProperty("readOnlyMode", "always"); // By default it holds for transactions alone.
    try (HikariDataSource pool = new HikariDataSource(config)) {
      String show = "select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only') || ' ' || current_schema()";
      for (int i = 0; i < 6; i++) {
        try (Connection c = pool.getConnection()) {
          equal(value(c, show), "read committed off public", "as it comes");
          c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
          c.setReadOnly(true);
          c.setSchema("pg_catalog");
          equal(value(c, show), "serializable on pg_catalog", "changed");
          c.setAutoCommit(false);
          equal(value(c, show), "serializable on pg_catalog", "in a transaction");
          c.rollback();
          c.setAutoCommit(true);
          c.setSchema("public");
          c.setNetworkTimeout(Runnable::run, 20000);
        }
      }
    }
  }

  private static void hikariConfigured() throws Exception {
    HikariConfig config = config(3);
    config.setAutoCommit(false);
    config.setReadOnly(true);
    config.setTransactionIsolation("TRANSACTION_REPEATABLE_READ");
    config.setConnectionInitSql("SET work_mem = '5MB'");
    config.setConnectionTestQuery("SELECT 1");
    config.setMinimumIdle(3);
    config.setIsolateInternalQueries(true);
    config.addDataSourceProperty("ApplicationName", "configured");
    config.addDataSourceProperty("prepareThreshold", "1");
    config.addDataSourceProperty("defaultRowFetchSize", "20");
    config.addDataSourceProperty("options", "-c statement_timeout=9s");
    try (HikariDataSource pool = new HikariDataSource(config)) {
      for (int i = 0; i < 12; i++) {
        try (Connection c = pool.getConnection()) {
          equal(value(c, "select concat_ws(' ', current_setting('work_mem'), current_setting('application_name'), current_setting('statement_timeout'), current_setting('transaction_isolation'),"
              + " current_setting('transaction_read_only'))"), "5MB configured 9s repeatable read on", "settings");
          equal(value(c, "select sum(g) from (select generate_series(1, ?) as g) x", 100), "5050", "sum");
          c.commit();
        }
      }
    }
  }

  public static final class Thing {
    private Long id;
    private int version;
    private String name;
    private BigDecimal price;
    private java.util.Date at;

    public Long getId() { return id; }
    public void setId(Long v) { id = v; }
    public int getVersion() { return version; }
    public void setVersion(int v) { version = v; }
    public String getName() { return name; }
    public void setName(String v) { name = v; }
    public BigDecimal getPrice() { return price; }
    public void setPrice(BigDecimal v) { price = v; }
    public java.util.Date getAt() { return at; }
    public void setAt(java.util.Date v) { at = v; }

    static Thing of(String name, int price) {
      Thing t = new Thing();
      t.name = name;
      t.price = BigDecimal.valueOf(price, 2);
      t.at = new java.util.Date(0);
      return t;
    }
  }

  /** The pool as Hibernate asks for one. */
  public static final class Provider implements org.hibernate.connection.ConnectionProvider {
    static volatile HikariDataSource pool;

    public void configure(java.util.Properties all) {}
    public Connection getConnection() throws SQLException { return pool.getConnection(); }
    public void closeConnection(Connection c) throws SQLException { c.close(); }
    public void close() {}
    public boolean supportsAggressiveRelease() { return false; }
  }

  private static SessionFactory factory(HikariDataSource pool) {
    Configuration c = new Configuration();
    c.setProperty("hibernate.dialect", "org.hibernate.dialect.PostgreSQLDialect");
    c.setProperty("hibernate.jdbc.batch_size", "20");
    c.setProperty("hibernate.jdbc.use_scrollable_resultset", "true");
    c.setProperty("hibernate.connection.provider_class", Provider.class.getName());
    Provider.pool = pool;
    c.addXML("<?xml version='1.0'?><!DOCTYPE hibernate-mapping PUBLIC '-//Hibernate/Hibernate Mapping DTD 3.0//EN' 'http://www.hibernate.org/dtd/hibernate-mapping-3.0.dtd'>"
        + "<hibernate-mapping><class name='Hibernate$Thing' table='conformance_hibernate' lazy='false'><id name='id'><generator class='sequence'><param name='sequence'>conformance_hibernate_seq</param></generator></id>"
        + "<version name='version'/><property name='name' unique='true'/><property name='price' precision='10' scale='2'/><property name='at' type='timestamp' column='at_time'/></class></hibernate-mapping>");
    new org.hibernate.tool.hbm2ddl.SchemaExport(c, c.buildSettings()).create(false, true);
    new org.hibernate.tool.hbm2ddl.SchemaUpdate(c, c.buildSettings()).execute(false, true);
    new org.hibernate.tool.hbm2ddl.SchemaValidator(c, c.buildSettings()).validate();
    return c.buildSessionFactory();
  }

  private static void hibernate() throws Exception {
    try (HikariDataSource pool = new HikariDataSource(config(3))) {
      SessionFactory factory = factory(pool);
      Session s = factory.openSession();
      Transaction t = s.beginTransaction();
      for (int i = 0; i < 100; i++) {
        s.save(Thing.of("thing " + i, i));
      }
      t.commit();
      s.clear();
      t = s.beginTransaction();
      Thing one = (Thing) s.createQuery("from Hibernate$Thing where name = :n").setString("n", "thing 7").uniqueResult();
      equal(one.getPrice(), BigDecimal.valueOf(7, 2), "price");
      equal(one.getAt().getTime(), 0L, "time");
      s.refresh(one, LockMode.UPGRADE);
      one.setPrice(BigDecimal.TEN);
      t.commit();
      t = s.beginTransaction();
      s.createQuery("delete from Hibernate$Thing").executeUpdate();
      t.rollback();
      t = s.beginTransaction();
      ScrollableResults all = s.createQuery("select price from Hibernate$Thing order by id").setFetchSize(10).scroll(org.hibernate.ScrollMode.FORWARD_ONLY);
      int count = 0;
      while (all.next()) {
        count++;
      }
      equal(count, 100, "rows");
      t.commit();
      s.close();
      drop(pool, factory);
    }
  }

  private static void hibernateThreads() throws Exception {
    HikariConfig config = config(5);
    config.setAutoCommit(false);
    try (HikariDataSource pool = new HikariDataSource(config)) {
      SessionFactory factory = factory(pool);
      List<Callable<Void>> work = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        int n = i;
        work.add(() -> {
          Session s = factory.openSession();
          Transaction t = s.beginTransaction();
          s.save(Thing.of("own " + n, n));
          s.flush();
          equal(s.createQuery("select count(*) from Hibernate$Thing where name = :n").setString("n", "own " + n).uniqueResult(), 1L, "own row");
          if (n % 2 == 0) {
            t.commit();
          } else {
            t.rollback();
          }
          s.close();
          return null;
        });
      }
      inThreads(10, work);
      try (Connection c = pool.getConnection()) {
        equal(value(c, "select count(*) from conformance_hibernate"), "20", "rows kept");
        c.rollback();
      }
      drop(pool, factory);
    }
  }

  private static void drop(HikariDataSource pool, SessionFactory factory) throws SQLException {
    factory.close();
    try (Connection c = pool.getConnection()) {
      c.setAutoCommit(true);
      execute(c, "drop table conformance_hibernate", "drop sequence conformance_hibernate_seq");
    }
  }

  /** Hibernate 5 and 6, which Debian does not carry: what they send through JDBC, by their documentation and their log. */
  private static void newerHibernate() throws Exception {
    try (HikariDataSource pool = new HikariDataSource(config(3))) {
      try (Connection c = pool.getConnection()) {
        equal(value(c, "select current_schema()"), "public", "schema");
        value(c, "select count(*) from information_schema.sequences");
        try (ResultSet r = c.getMetaData().getTypeInfo()) {
          r.next();
        }
        execute(c, "drop table if exists conformance_hibernate cascade", "drop sequence if exists conformance_hibernate_seq", "create sequence conformance_hibernate_seq start with 1 increment by 50",
            "create table conformance_hibernate (id bigint not null, version integer not null, name varchar(255), price numeric(10,2), primary key (id))",
            "alter table if exists conformance_hibernate add constraint uk_conformance unique (name)");
        try (ResultSet r = c.getMetaData().getTables(null, null, "conformance_hibernate", new String[] {"TABLE", "VIEW"})) {
          equal(r.next(), true, "the table by its metadata");
        }
      }
      for (int i = 0; i < 10; i++) {
        try (Connection c = pool.getConnection()) {
          c.setAutoCommit(false);
          long first = Long.parseLong(value(c, "select nextval('conformance_hibernate_seq')"));
          try (PreparedStatement s = c.prepareStatement("insert into conformance_hibernate (version, name, price, id) values (?, ?, ?, ?)")) {
            for (int k = 0; k < 30; k++) {
              s.setInt(1, 0);
              s.setString(2, "t" + i + "." + k);
              s.setBigDecimal(3, BigDecimal.ONE);
              s.setLong(4, first + k);
              s.addBatch();
            }
            s.executeBatch();
          }
          c.commit();
          value(c, "select id from conformance_hibernate where id=? for no key update skip locked", first);
          value(c, "select id from conformance_hibernate where id=? for update nowait", first);
          try (PreparedStatement s = c.prepareStatement("update conformance_hibernate set version=?, price=? where id=? and version=?")) {
            s.setInt(1, 1);
            s.setBigDecimal(2, BigDecimal.TEN);
            s.setLong(3, first);
            s.setInt(4, 0);
            equal(s.executeUpdate(), 1, "rows updated");
          }
          c.commit();
          c.setAutoCommit(true);
        }
      }
      try (Connection c = pool.getConnection()) {
        equal(value(c, "select count(*) from conformance_hibernate where version = 1"), "10", "rows updated");
        execute(c, "drop table conformance_hibernate", "drop sequence conformance_hibernate_seq");
      }
    }
  }
}
