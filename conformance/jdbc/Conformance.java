// pgjdbc: autocommit, transactions, prepared statements at each threshold, batches, COPY, cursors by fetch size, cancel by timeout.
//
// One file, so that the source launcher runs it: java -cp postgresql.jar Conformance.java --host ... Options and report
// lines are those of kit/target.py and kit/report.py.

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;

public class Conformance {
  interface Check {
    void run() throws Exception;
  }

  private static final Map<String, String> OPTIONS = new HashMap<>();
  private static final Map<String, Check> CHECKS = new LinkedHashMap<>();
  private static final Set<Connection> OPEN = ConcurrentHashMap.newKeySet();
  private static boolean quick;

  public static void main(String[] words) throws Exception {
    Logger.getLogger("org.postgresql").setLevel(Level.OFF);
    for (int i = 0; i < words.length; i++) {
      if (words[i].equals("--quick")) {
        quick = true;
      } else {
        OPTIONS.put(words[i].substring(2), words[++i]);
      }
    }
    register();
    ExecutorService threads = Executors.newCachedThreadPool();
    int failures = 0;
    for (Map.Entry<String, Check> check : CHECKS.entrySet()) {
      if (check.getKey().contains(OPTIONS.getOrDefault("match", ""))) {
        boolean passed = report(threads, check.getKey(), check.getValue());
        failures += passed ? 0 : 1;
        hangUp(passed);
      }
    }
    System.out.println("done");
    System.out.flush();
    Runtime.getRuntime().halt(failures > 0 ? 1 : 0);
  }

  /** Runs one check with a deadline, since a proxy's usual fault is to answer nothing; prints its line. */
  private static boolean report(ExecutorService threads, String name, Check check) {
    Future<?> running = threads.submit(() -> {
      check.run();
      return null;
    });
    String reason;
    try {
      running.get(40, TimeUnit.SECONDS);
      System.out.println("ok " + name);
      return true;
    } catch (TimeoutException late) {
      reason = "no end after 40 s";
    } catch (Exception failed) {
      Throwable cause = failed.getCause() == null ? failed : failed.getCause();
      String code = cause instanceof SQLException ? ((SQLException) cause).getSQLState() + " " : "";
      String place = Arrays.stream(cause.getStackTrace()).filter(f -> f.getClassName().startsWith("Conformance"))
          .filter(f -> !f.getMethodName().equals("equal")).map(f -> ":" + f.getLineNumber()).findFirst().orElse("");
      reason = code + cause.getClass().getSimpleName() + ": " + cause.getMessage() + " (Conformance.java" + place + ")";
    }
    System.out.println("FAIL " + name + ": " + reason.replaceAll("\\s+", " "));
    return false;
  }

  /** Ends what a failed check left open: it would hold backends and fail the next ones too. */
  private static void hangUp(boolean passed) throws SQLException {
    for (Connection c : passed ? Set.<Connection>of() : OPEN) {
      c.abort(Runnable::run);
    }
    OPEN.clear();
  }

  private static void register() {
    CHECKS.put("connects_and_asks", Conformance::connectsAndAsks);
    CHECKS.put("settings_given_at_connect", Conformance::settingsGivenAtConnect);
    CHECKS.put("types_in_text_and_binary", Conformance::typesInTextAndBinary);
    CHECKS.put("prepared_at_the_first_use", () -> preparedFromUse(1));
    CHECKS.put("prepared_at_the_fifth_use", () -> preparedFromUse(5));
    CHECKS.put("never_prepared", () -> preparedFromUse(0));
    CHECKS.put("prepared_statements_of_many_connections", Conformance::preparedOnManyConnections);
    CHECKS.put("more_statements_than_the_cache_holds", Conformance::moreStatementsThanTheCache);
    CHECKS.put("simple_query_mode", Conformance::simpleQueryMode);
    CHECKS.put("transactions", Conformance::transactions);
    CHECKS.put("savepoints_by_autosave", Conformance::savepointsByAutosave);
    CHECKS.put("read_only_and_isolation", Conformance::readOnlyAndIsolation);
    CHECKS.put("batches", Conformance::batches);
    CHECKS.put("a_batch_that_fails", Conformance::aBatchThatFails);
    CHECKS.put("rewritten_batches", Conformance::rewrittenBatches);
    CHECKS.put("generated_keys", Conformance::generatedKeys);
    CHECKS.put("a_cursor_by_fetch_size", Conformance::aCursorByFetchSize);
    CHECKS.put("copy_in_and_out", Conformance::copyInAndOut);
    CHECKS.put("a_copy_given_up", Conformance::aCopyGivenUp);
    CHECKS.put("query_timeout_cancels", Conformance::queryTimeoutCancels);
    CHECKS.put("cancel_from_another_thread", Conformance::cancelFromAnotherThread);
    CHECKS.put("errors_leave_the_connection_usable", Conformance::errorsLeaveTheConnectionUsable);
    CHECKS.put("a_table_changed_under_a_prepared_statement", Conformance::aTableChangedUnderAStatement);
    CHECKS.put("metadata_queries", Conformance::metadataQueries);
    CHECKS.put("many_clients_hear_their_own_answers", Conformance::manyClients);
    CHECKS.put("application_name_by_client_info", Conformance::clientInfo);
    CHECKS.put("schema_by_set_schema", Conformance::setSchema);
    CHECKS.put("is_valid", Conformance::isValid);
    CHECKS.put("a_wrong_password_is_28P01", Conformance::wrongPassword);
    if (OPTIONS.containsKey("tls-ca")) {
      CHECKS.put("tls_with_a_verified_certificate", Conformance::tls);
    }
  }

  private static Connection connect(String... settings) throws SQLException {
    Properties p = new Properties();
    p.setProperty("user", OPTIONS.get("user"));
    p.setProperty("password", OPTIONS.get("password"));
    p.setProperty("sslmode", "disable");
    p.setProperty("connectTimeout", "15");
    p.setProperty("socketTimeout", "35");
    String port = OPTIONS.get("port");
    for (int i = 0; i < settings.length; i += 2) {
      if (settings[i].equals("port")) {
        port = settings[i + 1];
      } else {
        p.setProperty(settings[i], settings[i + 1]);
      }
    }
    Connection c = DriverManager.getConnection("jdbc:postgresql://" + OPTIONS.get("host") + ":" + port + "/" + OPTIONS.get("database"), p);
    OPEN.add(c);
    return c;
  }

  private static String value(Connection c, String sql, Object... values) throws SQLException {
    try (PreparedStatement s = c.prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) {
        s.setObject(i + 1, values[i]);
      }
      try (ResultSet r = s.executeQuery()) {
        r.next();
        return r.getString(1);
      }
    }
  }

  private static void execute(Connection c, String sql) throws SQLException {
    try (Statement s = c.createStatement()) {
      s.execute(sql);
    }
  }

  private static void freshTable(String columns) throws SQLException {
    try (Connection c = connect()) {
      execute(c, "drop table if exists conformance_jdbc; create table conformance_jdbc (" + columns + ")");
    }
  }

  private static void equal(Object got, Object wanted, String what) {
    if (!wanted.equals(got)) {
      throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
    }
  }

  private static void failsWith(String code, Check statement) throws Exception {
    try {
      statement.run();
    } catch (SQLException error) {
      equal(error.getSQLState(), code, "SQLSTATE");
      return;
    }
    throw new AssertionError("succeeded, wanted " + code);
  }

  private static void connectsAndAsks() throws Exception {
    try (Connection c = connect()) {
      equal(value(c, "select 'hello'"), "hello", "value");
      try (Statement s = c.createStatement()) {
        equal(s.execute("select 1; set work_mem to default; select 2"), true, "a result comes first");
        equal(s.getMoreResults() || s.getUpdateCount() == 0, true, "then a count");
        equal(s.getMoreResults(), true, "then a result");
      }
    }
  }

  /** The driver itself adds extra_float_digits, DateStyle, TimeZone and client_encoding. */
  private static void settingsGivenAtConnect() throws Exception {
    List<Connection> clients = new ArrayList<>();
    for (int i = 0; i < 6; i++) {
      clients.add(connect("ApplicationName", "jdbc " + i, "options", "-c work_mem=" + (1000 + i) + "kB", "currentSchema", "j" + i));
    }
    String digits = value(clients.get(0), "show extra_float_digits");
    equal(digits.equals("2") || digits.equals("3"), true, "extra_float_digits as the driver asks for, not the server's 1; it is " + digits);
    for (int round = 0; round < 10; round++) {
      for (int i = 0; i < 6; i++) {
        equal(value(clients.get(i), "select concat_ws('|', current_setting('application_name'), current_setting('work_mem'), current_setting('search_path'), current_setting('extra_float_digits'), current_setting('DateStyle'))"),
            "jdbc " + i + "|" + (1000 + i) + "kB|j" + i + "|" + digits + "|ISO, MDY", "settings");
      }
    }
    for (Connection c : clients) {
      c.close();
    }
  }

  private static void typesInTextAndBinary() throws Exception {
    for (String transfer : new String[] {"true", "false"}) {
      try (Connection c = connect("binaryTransfer", transfer, "prepareThreshold", "-1")) {
        try (PreparedStatement s = c.prepareStatement("select ?::int4, ?::int8, ?::float8, ?::text, ?::bytea, ?::bool, ?::int4[], ?::numeric")) {
          s.setInt(1, 7);
          s.setLong(2, 1L << 40);
          s.setDouble(3, 0.1);
          s.setString(4, "é");
          s.setBytes(5, new byte[] {0, -1});
          s.setBoolean(6, true);
          s.setArray(7, c.createArrayOf("int4", new Integer[] {1, 2}));
          s.setBigDecimal(8, new java.math.BigDecimal("1.10"));
          for (int i = 0; i < 3; i++) {
            try (ResultSet r = s.executeQuery()) {
              r.next();
              equal(r.getInt(1) + "|" + r.getLong(2) + "|" + r.getDouble(3) + "|" + r.getString(4) + "|" + r.getBytes(5)[1] + "|" + r.getBoolean(6)
                  + "|" + Arrays.toString((Integer[]) r.getArray(7).getArray()) + "|" + r.getBigDecimal(8), "7|" + (1L << 40) + "|0.1|é|-1|true|[1, 2]|1.10", "values");
            }
          }
        }
      }
    }
  }

  private static void preparedFromUse(int threshold) throws Exception {
    try (Connection c = connect("prepareThreshold", "" + threshold); Connection other = connect("prepareThreshold", "" + threshold);
        PreparedStatement s = c.prepareStatement("select ?::int * 2"); PreparedStatement o = other.prepareStatement("select ?::text || '!'")) {
      for (int i = 0; i < 40; i++) {
        s.setInt(1, i);
        o.setInt(1, i);
        try (ResultSet r = s.executeQuery(); ResultSet q = o.executeQuery()) {
          r.next();
          q.next();
          equal(r.getInt(1), i * 2, "own answer");
          equal(q.getString(1), i + "!", "the neighbour's answer");
        }
      }
    }
  }

  /** All name their statements S_1, S_2 and so on. */
  private static void preparedOnManyConnections() throws Exception {
    List<Connection> clients = new ArrayList<>();
    for (int i = 0; i < 12; i++) {
      clients.add(connect("prepareThreshold", "1"));
    }
    for (int round = 0; round < 12; round++) {
      for (int i = 0; i < 12; i++) {
        equal(value(clients.get(i), "select 'text " + i + "', ?::int, " + "0".repeat(i % 3 + 1), round), "text " + i, "own statement");
      }
    }
    for (Connection c : clients) {
      c.close();
    }
  }

  private static void moreStatementsThanTheCache() throws Exception {
    try (Connection c = connect("prepareThreshold", "1", "preparedStatementCacheQueries", "10")) {
      for (int i = 0; i < 200; i++) {
        equal(value(c, "select " + (i % 30) + " + ?::int", 1), "" + (i % 30 + 1), "answer");
      }
    }
  }

  private static void simpleQueryMode() throws Exception {
    try (Connection c = connect("preferQueryMode", "simple")) {
      for (int i = 0; i < 20; i++) {
        equal(value(c, "select ?::int + 1", i), "" + (i + 1), "answer");
      }
    }
  }

  private static void transactions() throws Exception {
    freshTable("v int");
    try (Connection c = connect("prepareThreshold", "1"); Connection other = connect()) {
      c.setAutoCommit(false);
      for (int i = 0; i < 10; i++) {
        execute(c, "insert into conformance_jdbc values (" + i + ")");
        equal(value(c, "select count(*) from conformance_jdbc where v = ?", i), "1", "seen inside");
        equal(value(other, "select count(*) from conformance_jdbc where v = ?", i), "0", "seen by others");
        if (i % 2 == 0) {
          c.commit();
        } else {
          c.rollback();
        }
      }
      failsWith("22012", () -> execute(c, "select 1/0"));
      failsWith("25P02", () -> execute(c, "select 1"));
      c.rollback();
      Savepoint point = c.setSavepoint("point");
      execute(c, "insert into conformance_jdbc values (100)");
      c.rollback(point);
      c.commit();
      c.setAutoCommit(true);
      equal(value(c, "select string_agg(v::text, ',' order by v) from conformance_jdbc"), "0,2,4,6,8", "rows kept");
    }
  }

  private static void savepointsByAutosave() throws Exception {
    freshTable("v int primary key");
    try (Connection c = connect("autosave", "always", "prepareThreshold", "1")) {
      c.setAutoCommit(false);
      for (int i = 0; i < 10; i++) {
        execute(c, "insert into conformance_jdbc values (" + i + ")");
        failsWith("23505", () -> execute(c, "insert into conformance_jdbc values (0)"));
      }
      c.commit();
      equal(value(c, "select count(*) from conformance_jdbc"), "10", "rows kept");
      c.rollback();
    }
  }

  private static void readOnlyAndIsolation() throws Exception {
    freshTable("v int");
    try (Connection c = connect(); Connection other = connect()) {
      c.setReadOnly(true);
      c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      for (int i = 0; i < 5; i++) {
        equal(value(other, "show transaction_isolation"), "read committed", "the neighbour's isolation");
        equal(value(c, "show transaction_isolation"), "serializable", "isolation");
      }
      c.setAutoCommit(false);
      failsWith("25006", () -> execute(c, "insert into conformance_jdbc values (1)"));
      c.rollback();
      execute(other, "insert into conformance_jdbc values (1)");
    }
  }

  private static void batches() throws Exception {
    freshTable("v int, t text");
    try (Connection c = connect("prepareThreshold", "1"); PreparedStatement s = c.prepareStatement("insert into conformance_jdbc values (?, ?)")) {
      for (int i = 0; i < 3000; i++) {
        s.setInt(1, i);
        s.setString(2, "line " + i);
        s.addBatch();
      }
      equal(Arrays.stream(s.executeBatch()).sum(), 3000, "rows inserted");
      try (Statement several = c.createStatement()) {
        several.addBatch("update conformance_jdbc set t = 'x' where v < 10");
        several.addBatch("delete from conformance_jdbc where v >= 100");
        equal(Arrays.toString(several.executeBatch()), "[10, 2900]", "counts");
      }
    }
  }

  private static void aBatchThatFails() throws Exception {
    freshTable("v int primary key");
    try (Connection c = connect("prepareThreshold", "1"); PreparedStatement s = c.prepareStatement("insert into conformance_jdbc values (?)")) {
      for (int i = 0; i < 500; i++) {
        s.setInt(1, i == 400 ? 3 : i);
        s.addBatch();
      }
      try {
        s.executeBatch();
        throw new AssertionError("the duplicate was not reported");
      } catch (BatchUpdateException error) {
        equal(error.getSQLState(), "23505", "SQLSTATE");
      }
      equal(value(c, "select 'alive'"), "alive", "the connection afterwards");
    }
  }

  private static void rewrittenBatches() throws Exception {
    freshTable("v int, t text");
    try (Connection c = connect("reWriteBatchedInserts", "true"); PreparedStatement s = c.prepareStatement("insert into conformance_jdbc values (?, ?)")) {
      for (int i = 0; i < 1000; i++) {
        s.setInt(1, i);
        s.setString(2, "x");
        s.addBatch();
      }
      s.executeBatch();
      equal(value(c, "select count(*) from conformance_jdbc"), "1000", "rows");
    }
  }

  private static void generatedKeys() throws Exception {
    freshTable("id serial primary key, v int");
    try (Connection c = connect("prepareThreshold", "1"); PreparedStatement s = c.prepareStatement("insert into conformance_jdbc (v) values (?)", Statement.RETURN_GENERATED_KEYS)) {
      for (int i = 1; i < 20; i++) {
        s.setInt(1, i);
        s.executeUpdate();
        try (ResultSet keys = s.getGeneratedKeys()) {
          keys.next();
          equal(keys.getInt(1), i, "generated key");
        }
      }
    }
  }

  private static void aCursorByFetchSize() throws Exception {
    try (Connection c = connect("prepareThreshold", "1"); Connection other = connect()) {
      c.setAutoCommit(false);
      for (int round = 0; round < 3; round++) {
        try (PreparedStatement s = c.prepareStatement("select generate_series(1, ?)"); PreparedStatement second = c.prepareStatement("select generate_series(1, 50)")) {
          s.setInt(1, 2000);
          s.setFetchSize(100);
          second.setFetchSize(7);
          long sum = 0;
          try (ResultSet r = s.executeQuery(); ResultSet q = second.executeQuery()) {
            while (r.next()) {
              sum += r.getInt(1);
              if (sum % 100 == 0) {
                q.next();
                equal(value(other, "select 'between'"), "between", "the neighbour's answer");
              }
            }
          }
          equal(sum, 2001000L, "sum");
        }
        c.commit();
      }
    }
  }

  private static void copyInAndOut() throws Exception {
    freshTable("v int, t text");
    try (Connection c = connect()) {
      CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < 20000; i++) {
        text.append(i).append("\tline ").append(i).append('\n');
      }
      equal(copy.copyIn("copy conformance_jdbc from stdin", new StringReader(text.toString())), 20000L, "rows in");
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      equal(copy.copyOut("copy (select * from conformance_jdbc order by v) to stdout", out), 20000L, "rows out");
      equal(out.toString(StandardCharsets.UTF_8), text.toString(), "text");
    }
  }

  private static void aCopyGivenUp() throws Exception {
    freshTable("v int");
    try (Connection c = connect()) {
      CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
      for (int i = 0; i < 3; i++) {
        CopyIn in = copy.copyIn("copy conformance_jdbc from stdin");
        byte[] line = "1\n".getBytes(StandardCharsets.US_ASCII);
        in.writeToCopy(line, 0, line.length);
        in.cancelCopy();
        failsWith("22P02", () -> copy.copyIn("copy conformance_jdbc from stdin", new StringReader("1\nbad\n3\n")));
        equal(value(c, "select count(*) from conformance_jdbc"), "0", "rows");
      }
    }
  }

  private static void queryTimeoutCancels() throws Exception {
    try (Connection c = connect(); Connection other = connect(); Statement s = c.createStatement()) {
      s.setQueryTimeout(1);
      failsWith("57014", () -> s.execute("select pg_sleep(30)"));
      for (int i = 0; i < 5; i++) {
        equal(value(c, "select 'alive'"), "alive", "the connection afterwards");
        equal(value(other, "select 'other'"), "other", "the neighbour");
      }
    }
  }

  private static void cancelFromAnotherThread() throws Exception {
    try (Connection c = connect(); Connection other = connect(); Statement s = c.createStatement()) {
      for (int i = 0; i < 3; i++) {
        String marker = "jdbc cancel " + i;
        Thread canceller = new Thread(() -> cancelWhenRunning(other, s, marker));
        canceller.start();
        failsWith("57014", () -> s.execute("select pg_sleep(30), '" + marker + "'"));
        canceller.join();
        equal(value(c, "select 'alive'"), "alive", "the connection afterwards");
      }
    }
  }

  private static void cancelWhenRunning(Connection watcher, Statement victim, String marker) {
    try {
      String sql = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and position(? in query) > 0";
      for (int i = 0; i < 500 && value(watcher, sql, marker).equals("0"); i++) {
        Thread.sleep(20);
      }
      victim.cancel();
    } catch (SQLException | InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }

  private static void errorsLeaveTheConnectionUsable() throws Exception {
    try (Connection c = connect("prepareThreshold", "1")) {
      String[][] cases = {{"select 1/0", "22012"}, {"selec", "42601"}, {"select * from conformance_none", "42P01"}, {"select 'x'::int", "22P02"}};
      for (int i = 0; i < 3; i++) {
        for (String[] one : cases) {
          failsWith(one[1], () -> value(c, one[0]));
          equal(value(c, "select ?::text", "alive"), "alive", "the connection afterwards");
        }
      }
    }
  }

  /** Outside a transaction the driver re-prepares by itself on 0A000. */
  private static void aTableChangedUnderAStatement() throws Exception {
    freshTable("v int");
    try (Connection c = connect("prepareThreshold", "1"); Connection other = connect(); PreparedStatement s = c.prepareStatement("select * from conformance_jdbc")) {
      s.executeQuery().close();
      s.executeQuery().close();
      execute(other, "alter table conformance_jdbc add column w int");
      try (ResultSet r = s.executeQuery()) {
        // A proxy that prepares the statement again on a backend that never had it earns no 0A000: the driver goes on with the
        // columns that it knows (docs/operating/settings-and-pinning.md).
        int columns = r.getMetaData().getColumnCount();
        if (columns != 1 && columns != 2) {
          throw new AssertionError("columns: got " + columns);
        }
      }
    }
  }

  private static void metadataQueries() throws Exception {
    freshTable("v int primary key, t text not null");
    try (Connection c = connect(); ResultSet r = c.getMetaData().getColumns(null, null, "conformance_jdbc", null)) {
      r.next();
      equal(r.getString("COLUMN_NAME") + r.getString("TYPE_NAME"), "vint4", "first column");
      try (ResultSet keys = c.getMetaData().getPrimaryKeys(null, null, "conformance_jdbc")) {
        keys.next();
        equal(keys.getString("COLUMN_NAME"), "v", "primary key");
      }
      try (PreparedStatement s = c.prepareStatement("select * from conformance_jdbc where v = ?")) {
        equal(s.getParameterMetaData().getParameterTypeName(1) + s.getMetaData().getColumnName(2), "int4t", "described statement");
      }
    }
  }

  private static void manyClients() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(32);
    List<Callable<Void>> clients = new ArrayList<>();
    for (int i = 0; i < 32; i++) {
      String own = "client " + i;
      clients.add(() -> {
        try (Connection c = connect("prepareThreshold", "2", "ApplicationName", own)) {
          for (int round = 0; round < (quick ? 8 : 60); round++) {
            equal(value(c, "select ?::text || current_setting('application_name')", own), own + own, "own answer");
            c.setAutoCommit(false);
            equal(value(c, "select ?::text", own + round), own + round, "own answer in a transaction");
            c.commit();
            c.setAutoCommit(true);
          }
        }
        return null;
      });
    }
    for (Future<Void> client : threads.invokeAll(clients)) {
      client.get();
    }
    threads.shutdown();
  }

  private static void clientInfo() throws Exception {
    try (Connection c = connect(); Connection other = connect("ApplicationName", "other")) {
      c.setClientInfo("ApplicationName", "it's mine");
      for (int i = 0; i < 10; i++) {
        equal(value(c, "show application_name"), "it's mine", "own name");
        equal(value(other, "show application_name"), "other", "the neighbour's name");
      }
    }
  }

  private static void setSchema() throws Exception {
    try (Connection c = connect(); Connection other = connect()) {
      String before = value(other, "show search_path");
      c.setSchema("conformance_own");
      for (int i = 0; i < 10; i++) {
        equal(value(c, "show search_path"), "conformance_own", "own path");
        equal(value(other, "show search_path"), before, "the neighbour's path");
      }
    }
  }

  private static void isValid() throws Exception {
    try (Connection c = connect()) {
      for (int i = 0; i < 20; i++) {
        equal(c.isValid(5), true, "validity");
      }
    }
  }

  private static void wrongPassword() throws Exception {
    failsWith("28P01", () -> connect("password", "wrong").close());
  }

  private static void tls() throws Exception {
    String port = OPTIONS.getOrDefault("tls-port", OPTIONS.get("port"));
    try (Connection c = connect("port", port, "sslmode", "verify-full", "sslrootcert", OPTIONS.get("tls-ca"))) {
      equal(value(c, "select 'over tls'"), "over tls", "answer");
    }
  }
}
