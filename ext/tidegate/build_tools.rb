# frozen_string_literal: true

# What it takes to compile the extension, and the sentence that says what of it is not there: without it the same is to be
# read somewhere in a page of make's or Cargo's lines, or after minutes. extconf.rb asks before anything else is loaded.

require "open3"
require "rbconfig"

# Looks for cargo, a C compiler, make and libclang on this machine.
class BuildTools
  # Where clang-sys looks, which reads Ruby's headers for the binding (build/common.rs of that crate), and Homebrew's.
  CLANG_DIRECTORIES = %w[
    /usr/local/llvm*/lib* /usr/local/lib*/*/* /usr/local/lib*/* /usr/local/lib* /usr/lib*/*/* /usr/lib*/* /usr/lib*
    /usr/local/opt/llvm*/lib/llvm*/lib /usr/local/opt/llvm*/lib /opt/homebrew/opt/llvm*/lib
    /Library/Developer/CommandLineTools/usr/lib /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib
  ].freeze
  CLANG_LIBRARIES = %w[libclang.so libclang-*.so libclang.so.* libclang-*.so.* libclang.dylib].freeze
  # Of bindgen.
  LEAST_CLANG = "11"

  # +root+ has the Cargo.toml that says which Rust is needed.
  def initialize(root:, env: ENV, system: RbConfig::CONFIG["host_os"], clang_directories: CLANG_DIRECTORIES)
    @root = root
    @env = env
    @system = system
    @clang_directories = clang_directories
  end

  # Why the extension cannot be compiled here, and what would help, in a sentence; nil where it can.
  def obstacle
    if @system.match?(/mswin|mingw|cygwin/)
      return "tidegate does not run on Windows: install it in WSL 2, or in a Linux container (docs/containers.md)"
    end

    lacks = [rust, compiler, make, libclang].compact
    "tidegate cannot be compiled here: #{lacks.join("; and ")}" unless lacks.empty?
  end

  private

  def rust
    # rb_sys fetches a Rust of its own then, because the user has said so.
    return if @env.fetch("RB_SYS_FORCE_INSTALL_RUST_TOOLCHAIN", "false") != "false"

    cargo = @env.fetch("CARGO", "cargo")
    return "cargo is not in PATH; it takes Rust #{least_rust} or newer, from rustup (rustup.rs) or your system's packages" unless find(cargo)

    output, status = Open3.capture2e(@env.to_h, cargo, "--version")
    version = output[/\Acargo (\d+\.\d+(?:\.\d+)?)/, 1]
    if !status.success? || !version
      "#{cargo} is there and does not run (#{output.lines.first.to_s.strip}); it takes Rust #{least_rust} or newer: rustup default stable"
    elsif Gem::Version.new(version) < Gem::Version.new(least_rust)
      "cargo is #{version}, and it takes Rust #{least_rust} or newer: rustup update, or rustup (rustup.rs) in the place of your system's package"
    end
  end

  def least_rust = @least_rust ||= File.read(File.join(@root, "Cargo.toml"))[/^rust-version = "(.+)"/, 1]

  def compiler
    command = @env.fetch("CC") { RbConfig::CONFIG["CC"] }.split.first
    return if find(command)

    "#{command}, the C compiler that this Ruby was built with, is not in PATH: apt-get install gcc libc6-dev, dnf install gcc, " \
      "apk add build-base, or xcode-select --install"
  end

  def make
    command = (@env["MAKE"] || @env["make"] || "make").split.first
    "#{command} is not in PATH: apt-get install make, dnf install make, or apk add make" unless find(command)
  end

  def libclang
    return if clang_places.any? { |place| clang_in?(place) } || bundled_libclang?

    "libclang is not #{@env["LIBCLANG_PATH"] ? "in LIBCLANG_PATH, #{@env["LIBCLANG_PATH"]}" : "here"}; it takes version #{LEAST_CLANG} or newer: " \
      "apt-get install libclang-dev, dnf install clang-devel, apk add clang-dev, or xcode-select --install"
  end

  # Nowhere else where LIBCLANG_PATH is set, which may also name the file.
  def clang_places
    named = @env["LIBCLANG_PATH"]
    return [named, File.dirname(named)] if named

    paths = @env.values_at("LD_LIBRARY_PATH", "LIBRARY_PATH").compact.flat_map { |list| list.split(File::PATH_SEPARATOR) }
    Dir[*@clang_directories] + paths + asked
  end

  # What LLVM and Xcode say of themselves.
  def asked
    llvm = @env.fetch("LLVM_CONFIG_PATH", "llvm-config")
    places = find(llvm) ? %w[lib lib64].map { |name| File.join(ask(llvm, "--prefix"), name) } : []
    places << File.join(ask("xcode-select", "--print-path"), "Toolchains/XcodeDefault.xctoolchain/usr/lib") if @system.include?("darwin")
    places
  end

  def ask(*command)
    Open3.capture2(@env.to_h, *command, err: File::NULL).first.strip
  rescue SystemCallError
    ""
  end

  # libclang-cpp is another library.
  def clang_in?(directory)
    CLANG_LIBRARIES.any? { |name| Dir.glob(name, base: directory).any? { |file| !file.include?("-cpp.") } }
  end

  # The gem of that name, which rb_sys takes where it is installed.
  def bundled_libclang? = Gem::Specification.stubs_for("libclang").any?

  def find(command)
    return File.executable?(command) if command.include?("/")

    @env.fetch("PATH", "").split(File::PATH_SEPARATOR).any? do |directory|
      path = File.join(directory, command)
      File.file?(path) && File.executable?(path)
    end
  end
end
