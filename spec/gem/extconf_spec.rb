# frozen_string_literal: true

require "open3"
require "rbconfig"
require_relative "../../ext/tidegate/build_tools"

# What `gem install` says on a machine that lacks something. Nothing is built here.
RSpec.describe "extconf.rb" do
  around { |example| Dir.mktmpdir("tidegate-extconf") { |directory| (@directory = directory) && example.run } }

  # A PATH with these programs: a text is a shell script, nil the real one.
  def path_with(programs)
    programs.each do |name, script|
      file = File.join(@directory, name)
      if script
        File.write(file, "#!/bin/sh\n#{script}\n", perm: 0o755)
      else
        real = ENV.fetch("PATH").split(":").map { |place| File.join(place, name) }.find { |place| File.executable?(place) }
        File.symlink(real || skip("#{name} is not here"), file)
      end
    end
    @directory
  end

  # What it prints, and what it leaves, with these programs and no others.
  def extconf(programs, env = {})
    work = File.join(@directory, "work")
    Dir.mkdir(work)
    env = ServerProcess.base_env.merge("PATH" => path_with(programs), "CC" => "cc", "CARGO" => nil, "MAKE" => nil, **env)
    output, status = Open3.capture2e(env, RbConfig.ruby, File.join(ServerProcess::ROOT, "ext/tidegate/extconf.rb"), chdir: work)
    expect(Dir.children(work)).to be_empty
    expect(status.exitstatus).to eq(1)
    output
  end

  new_cargo = "echo 'cargo 1.99.0 (abc 2026-01-01)'"

  it "says in one sentence that there is no cargo, which it takes and where it is to be had" do
    expect(extconf({ "cc" => "", "make" => "" })).to eq(
      "tidegate cannot be compiled here: cargo is not in PATH; it takes Rust 1.88 or newer, from rustup (rustup.rs) or your system's packages\n"
    )
  end

  it "says that cargo is too old, and which one it is" do
    expect(extconf({ "cc" => "", "make" => "", "cargo" => "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'" })).to eq(
      "tidegate cannot be compiled here: cargo is 1.63.0, and it takes Rust 1.88 or newer: rustup update, " \
      "or rustup (rustup.rs) in the place of your system's package\n"
    )
  end

  it "says that cargo does not run, in cargo's own words" do
    broken = "echo 'error: rustup could not choose a version of cargo to run' >&2; exit 1"
    expect(extconf({ "cc" => "", "make" => "", "cargo" => broken })).to eq(
      "tidegate cannot be compiled here: cargo is there and does not run (error: rustup could not choose a version of cargo to run); " \
      "it takes Rust 1.88 or newer: rustup default stable\n"
    )
  end

  it "says that there is no libclang, which it takes and which package has it" do
    expect(extconf({ "cc" => "", "make" => "", "cargo" => new_cargo }, "LIBCLANG_PATH" => "/nowhere/lib")).to eq(
      "tidegate cannot be compiled here: libclang is not in LIBCLANG_PATH, /nowhere/lib; it takes version 11 or newer: " \
      "apt-get install libclang-dev, dnf install clang-devel, apk add clang-dev, or xcode-select --install\n"
    )
  end

  it "names all that is missing at once" do
    expect(extconf({}, "LIBCLANG_PATH" => "/nowhere")).to match(
      /\Atidegate cannot be compiled here: cargo is not in PATH.*; and cc, the C compiler.*; and make is not in PATH.*; and libclang is not in .*\n\z/
    )
  end

  describe "its Makefile" do
    # In the place of cargo: the library says how it would have been built.
    cargo = <<~'SH'
      [ "$1" != --version ] || { echo "cargo 1.99.0 (abc 2026-01-01)"; exit; }
      while [ "$1" != --target-dir ]; do shift; done
      mkdir -p "$2/release"
      echo "strip $CARGO_PROFILE_RELEASE_STRIP, debug $CARGO_PROFILE_RELEASE_DEBUG" >"$2/release/libtidegate.$SOEXT"
    SH

    # What the library says, and what the target directory has after "make clean".
    def made(cargo, env = {})
      path = "#{path_with("cargo" => cargo)}:#{ENV.fetch("PATH")}"
      # bin/test has its own profile.
      env = ServerProcess.base_env.merge("PATH" => path, "SOEXT" => RbConfig::CONFIG["SOEXT"], "RB_SYS_CARGO_PROFILE" => nil,
                                         "TIDEGATE_DEBUG_INFO" => nil, **env)
      work = Dir.mkdir("#{@directory}/work") && "#{@directory}/work"
      run = lambda do |*command|
        output, status = Open3.capture2e(env, *command, chdir: work)
        expect(status).to be_success, output
      end
      run.call(RbConfig.ruby, File.join(ServerProcess::ROOT, "ext/tidegate/extconf.rb"))
      run.call("make")
      said = File.read("#{work}/tidegate.#{RbConfig::CONFIG["DLEXT"]}")
      run.call("make", "clean")
      [said, Dir.exist?(File.join(env.fetch("RB_SYS_CARGO_TARGET_DIR", "#{work}/target"), "release"))]
    end

    it "builds what users get: stripped, and with nothing left of it after make clean" do
      expect(made(cargo)).to eq(["strip symbols, debug false\n", false])
    end

    it "keeps debug information where that is wanted, and leaves a directory alone that the user has named" do
      expect(made(cargo, "TIDEGATE_DEBUG_INFO" => "1", "RB_SYS_CARGO_TARGET_DIR" => "#{@directory}/kept")).to eq(["strip , debug \n", true])
    end
  end

  describe BuildTools do
    root = ServerProcess::ROOT

    def tools(**) = described_class.new(root: ServerProcess::ROOT, **)

    it "finds nothing to say about a machine that has built the working copy" do
      skip "nothing was built here" unless Dir.exist?("#{root}/target")
      expect(tools.obstacle).to be_nil
    end

    it "sends Windows to WSL" do
      expect(tools(system: "mingw32").obstacle).to eq "tidegate does not run on Windows: install it in WSL 2, or in a Linux container (docs/containers.md)"
    end

    it "looks for libclang where LLVM says that it is, and takes libclang-cpp for another library" do
      env = { "PATH" => path_with("cc" => "", "make" => "", "cargo" => new_cargo, "llvm-config" => "echo #{@directory}/llvm"), "CC" => "cc" }
      FileUtils.mkdir_p("#{@directory}/llvm/lib")
      FileUtils.touch("#{@directory}/llvm/lib/libclang-cpp.so.18")
      look = -> { tools(env:, system: "linux-gnu", clang_directories: []).obstacle }
      expect(look.call).to match(/: libclang is not here; it takes version 11 or newer/)

      FileUtils.touch("#{@directory}/llvm/lib/libclang-18.so.18")
      expect(look.call).to be_nil
    end

    it "leaves Rust to rb_sys, where the user has it fetch one" do
      env = { "PATH" => path_with("cc" => "", "make" => ""), "CC" => "cc", "RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN" => "stable",
              "LIBCLANG_PATH" => @directory }
      FileUtils.touch("#{@directory}/libclang.so.1")
      expect(tools(env:).obstacle).to be_nil
    end
  end
end
