# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::AdminToken do
  token = "0123456789abcdef-Z"

  def of(**options) = described_class.of(Tidegate::Configuration.embedded(options))

  def in_file(text)
    Dir.mktmpdir do |directory|
      path = File.join(directory, "token")
      File.binwrite(path, text)
      yield path
    end
  end

  it "is what was given, or the content of a file without the line's end" do
    expect([of, of(admin_token: token)]).to eq([nil, token])
    in_file("#{token}\n") { |path| expect(of(admin_token_file: path)).to eq(token) }
  end

  it "is refused, and not shown, where it is too short or more than a token" do
    ["hunter2", "#{token} #{token}", "#{token}\n#{token}", "\xFF" * 20, "x" * 5000].each do |text|
      in_file(text) do |path|
        expect { of(admin_token_file: path) }.to raise_error(Tidegate::ConfigurationError) { |error|
          expect(error.message).to start_with("Tidegate::Server: what is in #{path} cannot be the admin_token: it must be 16 to")
          expect(error.message.b).not_to include(text.b)
        }
      end
    end
    expect { of(admin_token: "hunter2") }
      .to raise_error(Tidegate::ConfigurationError, /\ATidegate::Server: admin_token cannot be what it is: it must be 16 to(?!.*hunter2)/)
  end

  it "is not read from what is no file" do
    Dir.mktmpdir do |directory|
      File.mkfifo("#{directory}/pipe")
      %w[. nowhere pipe].each do |name|
        expect { of(admin_token_file: "#{directory}/#{name}") }
          .to raise_error(Tidegate::ConfigurationError, %r{\ATidegate::Server: the admin_token_file \S+ is not a file\z})
      end
    end
  end

  it "has one place" do
    in_file(token) do |path|
      expect { of(admin_token_file: path, admin_token: token) }
        .to raise_error(Tidegate::ConfigurationError, /admin_token and admin_token_file are both set/)
    end
  end

  it "is found relative to the directory of the app, and not in what is printed of a configuration" do
    in_file(token) do |path|
      configuration = Tidegate::Configuration.embedded({ directory: File.dirname(path), admin_token_file: "token" })
      expect(described_class.of(configuration)).to eq(token)
    end
    expect(Tidegate::Configuration.embedded({ admin_token: token }).inspect).not_to include(token)
  end
end
