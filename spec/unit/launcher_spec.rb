# frozen_string_literal: true

require "stringio"
require "tmpdir"
require "support/fake_native"

RSpec.describe Tidegate::Launcher do
  include FakeNative

  let(:out) { StringIO.new }
  let(:err) { StringIO.new }
  let(:env) { { "RACK_ENV" => "production" } }

  # Each example has a directory to itself, which it may leave.
  around do |example|
    before = Dir.pwd
    Dir.mktmpdir do |directory|
      Dir.chdir(directory)
      example.run
    ensure
      Dir.chdir(before)
    end
  end

  before { allow(Process).to receive(:setproctitle) }

  def flags(**options)
    Tidegate::Configuration::Layer.new.tap do |layer|
      { port: 0, host: "127.0.0.1", **options }.each { |name, value| layer.set_named(name, value, "--#{name}") }
    end
  end

  # Runs a launcher in this thread; the block gets the server before it starts. Without a block it is stopped at once.
  def launch(app: nil, defaults: Tidegate::Configuration::Layer.new, **options, &block)
    log = Tidegate::Log.new(out:, err:)
    launcher = described_class.new(flags: flags(**options), defaults:, env:, app:, log:)
    launcher.run { |server| block ? block.call(server) : fake_native.server.on_listen = -> { server.stop } }
  end

  def write(name, text)
    FileUtils.mkdir_p(File.dirname(name))
    File.write(name, text)
  end

  # What is sent when the fake begins to listen, to this process.
  def on_listen(&block) = fake_native { |native| native.on_listen = block }

  describe "serving" do
    before { write("config.ru", "run ->(env) { [200, {}, [env['x']]] }") }

    it "keeps the heap together, unless the environment says how" do
      launch
      expect(fake_native.arenas).to eq [2]
      env["MALLOC_ARENA_MAX"] = "8"
      launch
      expect(fake_native.arenas).to eq [2]
    end

    it "leaves the heap of a process alone that it does not have to itself" do
      Thread.new { launch }.join
      expect(fake_native.arenas).to eq []
    end

    it "binds before it loads the app, and listens after that" do
      steps = []
      fake_native do |native|
        native.on_bind = -> { steps << :bind }
        native.on_listen = -> { steps << :listen && native.finish }
      end
      allow(Tidegate::AppLoader).to receive(:new).and_wrap_original do |original, *args, **options|
        original.call(*args, **options).tap do |loader|
          allow(loader).to(receive(:load).and_wrap_original { |load| steps << :load && load.call })
        end
      end
      launch { nil }
      expect(steps).to eq %i[bind load listen]
    end

    it "serves the app of the rackup file" do
      launch
      expect(fake_native.server.app.call({ "x" => "hello" })).to eq [200, {}, ["hello"]]
    end

    it "serves the app that it is given" do
      app = ->(_env) {}
      launch(app:)
      expect(fake_native.server.app).to be app
    end

    it "exits with the server's status" do
      expect(launch).to eq 0
      fake_native { |native| native.status = 1 }
      expect(launch).to eq 1
    end

    it "tells the server where it runs, and where temporary files go" do
      env["KUBERNETES_SERVICE_HOST"] = "10.96.0.1"
      launch
      expect(fake_native.server.settings).to include(platform: :kubernetes, spool_directory: Dir.tmpdir)
      env["TIDEGATE_SPOOL_DIRECTORY"] = "uploads"
      Dir.mkdir("uploads")
      launch
      expect(fake_native.server.settings).to include(spool_directory: File.join(Dir.pwd, "uploads"))
    end

    %w[TERM INT QUIT].each do |name|
      it "gives the server a #{name}" do
        on_listen { Process.kill(name, Process.pid) }
        expect(launch { nil }).to eq 0
        expect(fake_native.server.calls.last).to eq [:signal, name.to_sym]
      end
    end

    it "has the server hear the process's signals, where it has it to itself" do
      launch
      expect(fake_native.server.signals).to include(:TERM, :INT, :QUIT)
      Thread.new { launch }.join
      expect(fake_native.server.signals).to be_nil
    end

    it "names the process by its addresses and the directory" do
      launch
      expect(Process).to have_received(:setproctitle)
        .with("tidegate #{Tidegate::VERSION} (tcp://127.0.0.1:40123) [#{File.basename(Dir.pwd)}]")
    end

    it "has the pidfile while it listens, and no longer" do
      content = nil
      on_listen { content = File.read("tmp.pid") && fake_native.server.finish && Process.pid }
      launch(pidfile: "tmp.pid") { nil }
      expect(content).to eq Process.pid
      expect(File.exist?("tmp.pid")).to be false
    end

    it "lets at_exit take its time after an ordinary stop" do
      launch
      expect(fake_native.exits).to eq []
    end

    it "sets an end to the process after a stop that cut something off" do
      fake_native { |native| native.status = 1 }
      launch
      expect(fake_native.exits).to eq [[described_class::EXIT_GRACE, 1]]
    end

    it "puts the handlers back that were there before" do
      theirs = proc {}
      before = Signal.trap("TERM", theirs)
      launch
      expect(Signal.trap("TERM", before || "DEFAULT")).to be theirs
    end

    it "says that the app's own handlers are not used" do
      write("config.ru", "trap('TERM') { raise 'mine' }; run ->(env) {}")
      on_listen { Process.kill("TERM", Process.pid) }
      expect(launch { nil }).to eq 0
      expect(err.string).to match(/\Atidegate: the app has trapped TERM; its handler is not used/)
    end

    it "mentions a variable of the environment that does nothing" do
      env["TIDEGATE_IMAGE_TAG"] = "v1"
      launch
      expect(err.string).to start_with("tidegate: the environment variable TIDEGATE_IMAGE_TAG")
    end
  end

  describe "the app's environment" do
    before { write("config.ru", "run ->(env) {}") }

    it "is in RACK_ENV" do
      env.replace("RAILS_ENV" => "staging")
      launch
      expect(env).to eq("RACK_ENV" => "staging", "RAILS_ENV" => "staging")
    end

    it "is what a flag says, whatever the variables say" do
      env.replace("RAILS_ENV" => "staging", "APP_ENV" => "mine")
      launch(environment: "production")
      expect(env.values).to eq ["production"] * 3
    end

    it "is the caller's business when the caller has loaded the app" do
      env.clear
      launch(app: ->(_env) {})
      expect(env).to eq({})
    end
  end

  describe "a signal while the app boots" do
    it "ends the boot at once, with status 0 and one line" do
      write("config.ru", "Process.kill('TERM', Process.pid); loop { Thread.pass }")
      expect(launch).to eq 0
      expect([out.string, err.string]).to eq ["tidegate: stopped by SIGTERM before it was ready\n", ""]
    end

    it "lets go of the addresses, and of the process" do
      write("config.ru", "Process.kill('INT', Process.pid); loop { Thread.pass }")
      launch
      expect(fake_native.server.calls).to eq [:bind, [:stop, false]]
      expect(fake_native.exits).to eq [[described_class::EXIT_GRACE, 0]]
    end

    it "ends it after the app has swallowed the signal" do
      write("config.ru", <<~RUBY)
        begin
          Process.kill('TERM', Process.pid)
          loop { Thread.pass }
        rescue Exception
        end
        run ->(env) {}
      RUBY
      expect(launch).to eq 0
      expect(fake_native.server.calls).not_to include(:listen)
    end
  end

  describe "what goes wrong" do
    it "is an address in use, before the app is loaded" do
      write("config.ru", "raise 'loaded'")
      fake_native { |native| native.on_bind = -> { raise Tidegate::BindError, "tcp://127.0.0.1:80 is in use" } }
      expect(launch).to eq 1
      expect(err.string).to eq "tidegate: tcp://127.0.0.1:80 is in use\n"
    end

    it "is an app that cannot be loaded, with its backtrace down to the server's own levels" do
      write("config.ru", "\nraise KeyError, 'no such key'")
      expect(launch).to eq 1
      expect(err.string).to match(/\Atidegate: config.ru cannot be loaded: config.ru:2: no such key \(KeyError\)\n  KeyError: no such key\n  \S*config\.ru:2:in /)
      expect(err.string).not_to include("app_loader.rb", "rspec")
      expect(fake_native.server.calls.last).to eq [:stop, false]
    end

    it "comes with all levels with --debug" do
      write("config.ru", "raise KeyError, 'no such key'")
      launch(debug: true)
      expect(err.string).to match(/^  KeyError: no such key\n  .*config\.ru:1:in /).and include("app_loader.rb")
    end

    it "is an address that another tidegate of this pidfile has, which is named" do
      write("tidegate.pid", "#{Process.pid}\n")
      fake_native { |native| native.on_bind = -> { raise Tidegate::BindError, "cannot listen on tcp://127.0.0.1:80: the address is already in use" } }
      launch(pidfile: "tidegate.pid")
      expect(err.string).not_to include("tidegate.pid") # this process is no tidegate
    end

    it "is a rackup file that does not exist" do
      expect(launch(rackup: "app.ru")).to eq 1
      expect(err.string).to eq "tidegate: there is no rackup file app.ru: give its path, or start where it is\n"
    end

    it "is a directory that does not exist" do
      expect(launch(directory: "nowhere")).to eq 1
      expect(err.string).to eq "tidegate: --directory: cannot change the directory: No such file or directory - nowhere\n"
    end

    it "is a place for request bodies that cannot be written to" do
      write("config.ru", "raise 'loaded'")
      expect(launch(spool_directory: "nowhere")).to eq 1
      expect(err.string).to eq "tidegate: --spool_directory: the spool_directory cannot be written to: " \
                               "#{Dir.pwd}/nowhere: No such file or directory\n"
    end

    it "is a pidfile that cannot be written" do
      write("config.ru", "run ->(env) {}")
      expect(launch(pidfile: "nowhere/pid")).to eq 1
      expect(err.string).to match(%r{\Atidegate: the pidfile .*/nowhere/pid cannot be written: No such file or directory})
    end

    it "is a bug of ours otherwise, and shows itself" do
      allow(Tidegate::Configuration).to receive(:resolve).and_raise(NoMethodError, "oops")
      expect { launch }.to raise_error(NoMethodError)
    end
  end
end
