# frozen_string_literal: true

# The Gemfile line is all: which server `rackup` and `rails server` take, in bundles of their own, where none is named.
RSpec.describe "gem \"tidegate\" in the Gemfile", :frameworks, :gemfile_line, :processes do
  let(:hello) { %(run ->(env) { [200, {}, [env["SERVER_SOFTWARE"].to_s]] }\n) }

  # What these expressions are in the bundle, asked in one process; the name of the class for an error.
  def answers(directory, *expressions)
    code = expressions.map { |expression| "begin; puts #{expression}; rescue LoadError => error; puts error.class; end" }
    within(directory, *ServerProcess::RUBY.take(1), "-rbundler/setup", "-rrackup", "-e", code.join("; ")).lines.last(expressions.size).map(&:chomp)
  end

  it "makes rackup serve with it, although the config.ru requires nothing" do
    directory = app_directory(Gemfile: "gem \"rackup\"\n#{GemfileLine::LINE}\n", "config.ru": hello)
    server = start_within(directory, "bundle", "exec", "rackup", "-o", "127.0.0.1", "-p", 0).ready

    expect(server.get("/").body).to eq("tidegate/#{Tidegate::VERSION}")
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end

  it "is taken where no server is named, and not as Falcon" do
    directory = app_directory(Gemfile: "gem \"rackup\"\n#{GemfileLine::LINE}\n")
    expect(answers(directory, "Rackup::Handler.get('falcon')", "Rackup::Handler.default")).to eq(%w[LoadError Rackup::Handler::Tidegate])
  end

  it "comes after Puma" do
    needs "puma"
    directory = app_directory(Gemfile: "gem \"puma\"\ngem \"rackup\"\n#{GemfileLine::LINE}\n")
    expect(answers(directory, "Rackup::Handler.default")).to eq(%w[Rackup::Handler::Puma])
  end

  it "leaves the place to Falcon where that is in the bundle" do
    FileUtils.mkdir_p("#{app_root}/falcon/lib/rackup/handler")
    File.write("#{app_root}/falcon/falcon.gemspec", <<~RUBY)
      Gem::Specification.new { |spec| spec.name = "falcon"; spec.version = "1"; spec.summary = "-"; spec.authors = ["-"]; spec.files = [] }
    RUBY
    File.write("#{app_root}/falcon/lib/rackup/handler/falcon.rb", "module Rackup::Handler; class Falcon; end; register :falcon, Falcon; end\n")
    both = app_directory(Gemfile: "gem \"rackup\"\n#{GemfileLine::LINE}\ngem \"falcon\", path: \"falcon\"\n")

    expect(answers(both, "Rackup::Handler.get('falcon')", "Rackup::Handler.default")).to eq(%w[Rackup::Handler::Falcon] * 2)
  end

  # A test as an app has it, but for the browser: a session that needs a server, and is fetched from by hand.
  let(:system_test) do
    <<~RUBY
      require "test_helper"
      require "net/http"
      Capybara.register_driver(:plain) { |app| Class.new(Capybara::RackTest::Driver) { def needs_server? = true }.new(app) }

      class ServedTest < ActionDispatch::SystemTestCase
        driven_by :plain

        test "the app is up, on Tidegate" do
          assert_equal "200", Net::HTTP.get_response(URI("\#{page.server_url}/up")).code
          assert_equal [page.server.port], Tidegate::Running.servers.map(&:port)
        end
      end
    RUBY
  end

  it "makes bin/rails server serve with it, and system tests run on it, in an app that rails new has made" do
    needs "capybara"
    directory = new_rails_app('gem "capybara"')
    server = start_within(directory, "bin/rails", "server", "-b", "127.0.0.1", "-p", 0).ready

    expect(server.get("/up", "host" => "localhost").status).to eq(200)
    expect(server.stdout.to_s).to include("=> Booting Tidegate")
    server.signal(:INT)
    expect(server.exit_status).to eq(0)

    FileUtils.mkdir_p("#{directory}/test/system")
    File.write("#{directory}/test/system/served_test.rb", system_test)
    expect(within(directory, "bin/rails", "test:system", env: { "PARALLEL_WORKERS" => "1" })).to include("1 runs, 2 assertions, 0 failures")
  end

  it "has a generator that writes config/tidegate.rb, from the config/puma.rb of rails new" do
    needs "railties"
    template = Gem.path.flat_map { |path| Dir.glob("#{path}/gems/railties-7*/lib/rails/generators/rails/app/templates/config/puma.rb.tt") }.first
    FileUtils.mkdir_p("#{app_root}/config")
    FileUtils.cp(template, "#{app_root}/config/puma.rb")
    File.write("#{app_root}/config.ru", hello)
    said = within(app_root, *ServerProcess::RUBY, "-e", 'require "rails/generators"; Rails::Generators.invoke("tidegate:install")')

    expect(said.split).to include("create", "config/tidegate.rb", "note")
    written = File.read("#{app_root}/config/tidegate.rb")
    expect(written).to include(%(\nport ENV.fetch("PORT", 3000)\n), %(\nrestart_file "tmp/restart.txt"\n), %(\n# threads threads_count, threads_count\n))
    expect(within(app_root, *ServerProcess::RUBY, "#{ServerProcess::ROOT}/exe/tidegate", "--check", env: { "PORT" => "4567" })).to include(":4567")
  end
end
