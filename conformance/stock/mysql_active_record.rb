# Rails' ActiveRecord on mysql2, untuned; the sibling of active_record.rb. suites/mysql_program.py runs this where two backends are shared, and sees
# that nothing pins but a migration, which takes a lock of the session.

require "active_record"
require "stringio"
$stdout.sync = true

OPTIONS = ARGV.each_slice(2).to_h { |name, value| [name.delete_prefix("--"), value] }
CONFIG = { adapter: "mysql2", host: OPTIONS["host"], port: OPTIONS["port"].to_i, username: OPTIONS["user"], password: OPTIONS["password"], database: OPTIONS["database"],
           pool: 5, connect_timeout: 15, encoding: "utf8mb4" }.freeze
ActiveRecord::Migration.verbose = false

class Author < ActiveRecord::Base
  self.table_name = "conformance_ar_authors"
  has_many :books
end

class Book < ActiveRecord::Base
  self.table_name = "conformance_ar_books"
  belongs_to :author
  validates :title, uniqueness: true
end

def equal(got, wanted, what)
  raise "#{what}: got #{got.inspect}, wanted #{wanted.inspect}" unless got == wanted
end

def connect(**more)
  ActiveRecord::Base.establish_connection(CONFIG.merge(more))
end

def tables
  ActiveRecord::Schema.define do
    drop_table :conformance_ar_books, if_exists: true
    drop_table :conformance_ar_authors, if_exists: true
    create_table(:conformance_ar_authors) { |t| t.string :name, index: { unique: true }; t.timestamps }
    create_table(:conformance_ar_books) do |t|
      t.references :author, foreign_key: { to_table: :conformance_ar_authors }
      t.string :title
      t.decimal :price, precision: 10, scale: 2
      t.text :data
      t.binary :cover
      t.datetime :printed
    end
  end
  [Author, Book].each(&:reset_column_information)
end

def fill
  Book.delete_all
  Author.delete_all
  Author.create!(name: "Ünal 🐟", books: Array.new(5) { |i| Book.new(title: "book #{i}", price: "12.30", data: "{\"i\": #{i}}", cover: "\x00\xFF\\".b, printed: Time.utc(2001, 2, 3, 4, 5, 6)) })
end

def every_kind_of_connection
  [{}, { prepared_statements: true }, { strict: false, variables: { group_concat_max_len: 5000, time_zone: "+00:00" } }, { variables: { sql_mode: "TRADITIONAL" }, reconnect: true, wait_timeout: 100 }].each do |more|
    connect(**more)
    yield more
  ensure
    ActiveRecord::Base.connection_handler.clear_all_connections!
  end
end

CHECKS = {
  "active_record_makes_tables" => lambda {
    connect
    tables
    equal(ActiveRecord::Base.connection.foreign_keys("conformance_ar_books").map(&:to_table), ["conformance_ar_authors"], "foreign keys")
    equal(ActiveRecord::Base.connection.indexes("conformance_ar_authors").map(&:unique), [true], "indexes")
    ActiveRecord::SchemaDumper.dump(ActiveRecord::Base.connection, StringIO.new)
  },
  "active_record_reads_and_writes" => lambda {
    every_kind_of_connection do |more|
      fill
      book = Book.find_by(title: "book 3")
      equal([book.price, book.data, book.cover, book.printed], [BigDecimal("12.30"), "{\"i\": 3}", "\x00\xFF\\".b, Time.utc(2001, 2, 3, 4, 5, 6)], "values with #{more}")
      equal(Author.includes(:books).first.books.size, 5, "books")
      equal(Book.where(title: "book 3").update_all(price: 1), 1, "rows updated")
      equal(Book.where(price: 2..20).sum(:price), BigDecimal("49.20"), "sum")
      equal(Book.in_batches(of: 2).sum(&:count), 5, "rows in batches")
      Book.upsert_all([{ id: book.id, title: "new", price: 2 }])
      20.times { |i| equal(Book.where(title: "book #{i % 3}").pick(:title), "book #{i % 3}", "title") }
      modes, null, size = ActiveRecord::Base.connection.select_rows("select @@sql_mode, @@sql_auto_is_null + 0, @@group_concat_max_len").first
      equal(modes.include?("STRICT_ALL_TABLES"), more[:strict] != false, "strictness with #{more}")
      equal([null, size == 5000], [0, more[:strict] == false], "settings with #{more}")
    end
  },
  "active_record_in_transactions" => lambda {
    every_kind_of_connection do
      fill
      Book.transaction do
        Book.lock.find_by!(title: "book 1").with_lock { Book.create!(title: "kept") }
        Book.transaction(requires_new: true) do
          Book.create!(title: "undone")
          raise ActiveRecord::Rollback
        end
        begin
          Author.transaction(requires_new: true) { Author.create!(name: "Ünal 🐟") }
        rescue ActiveRecord::RecordNotUnique
          nil
        end
      end
      begin
        Book.transaction { Book.delete_all && raise(ArgumentError) }
      rescue ArgumentError
        nil
      end
      equal(Book.order(:id).pluck(:title), ["book 0", "book 1", "book 2", "book 3", "book 4", "kept"], "titles")
    end
  },
  "active_record_in_a_transaction_of_its_own_isolation" => lambda {
    connect
    fill
    Book.transaction(isolation: :serializable) { equal(Book.count, 5, "rows") }
    Book.transaction(isolation: :read_committed) { equal(Book.count, 5, "rows") }
  },
  "active_record_in_threads" => lambda {
    connect(pool: 8)
    fill
    got = Array.new(8) { |i| Thread.new { Array.new(10) { |k| ActiveRecord::Base.connection_pool.with_connection { Book.where(title: "book #{(i + k) % 5}").pick(:title) } } } }.map(&:value)
    equal(got, Array.new(8) { |i| Array.new(10) { |k| "book #{(i + k) % 5}" } }, "titles")
    ActiveRecord::Base.connection_pool.disconnect!
  },
  "active_record_checks_and_resets_its_connections" => lambda {
    connect
    c = ActiveRecord::Base.connection
    5.times do
      equal(c.active?, true, "whether it is alive")
      c.execute("set time_zone = '+09:00'")
      c.reset!
      equal(c.select_value("select @@time_zone = @@global.time_zone"), 1, "the time zone after a reset")
      equal(Book.where(title: "book 2").count, 1, "an answer")
    end
    c.reconnect!
    equal(Book.count, 5, "rows")
    c = ActiveRecord::Base.connection
    %w[conformance_ar_books conformance_ar_authors].each { |t| c.drop_table(t) }
  },
  "a_migration_of_active_record" => lambda {
    connect
    migration = Class.new(ActiveRecord::Migration[6.1]) { def change = create_table(:conformance_ar_migrated) { |t| t.string :name } }
    migration.define_singleton_method(:name) { "Migrated" }
    one = Struct.new(:name, :version, :filename, :scope, :migration) { def disable_ddl_transaction = false; def migrate(way) = migration.new.exec_migration(ActiveRecord::Base.connection, way) }.new("Migrated", 1, "", "", migration)
    versions = ActiveRecord::SchemaMigration
    ActiveRecord::Migrator.new(:up, [one], versions).migrate
    equal(ActiveRecord::Base.connection.table_exists?("conformance_ar_migrated"), true, "the table")
    ActiveRecord::Migrator.new(:down, [one], versions, 0).migrate
    c = ActiveRecord::Base.connection
    %w[schema_migrations ar_internal_metadata].each { |t| c.drop_table(t, if_exists: true) }
  }
}.freeze

require "mysql2"
puts "ActiveRecord #{ActiveRecord.version}, mysql2 #{Mysql2::VERSION}, Ruby #{RUBY_VERSION}"

failures = 0
CHECKS.each do |name, check|
  next unless name.include?(OPTIONS["match"] || "")

  begin
    check.call
    puts "ok #{name}"
  rescue StandardError => e
    failures += 1
    puts "FAIL #{name}: #{e.class}: #{e.message.gsub(/\s+/, ' ')[0, 500]} (#{e.backtrace.grep(/active_record\.rb/).first})"
  ensure
    begin
      ActiveRecord::Base.connection_handler.clear_all_connections!
    rescue StandardError
      nil
    end
  end
end
puts "done"
exit!(failures.zero? ? 0 : 1)
