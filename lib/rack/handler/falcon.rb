# frozen_string_literal: true

# Makes Tidegate the server of `rackup` and `rails server` where the bundle has neither Puma nor Falcon.
#
# Where no server is named, rackup looks for the handlers of Puma, Falcon and WEBrick, in this order, and has no other list: of
# each it requires rackup/handler/NAME, then rack/handler/NAME, and takes what has registered under that name. Falcon's gem has the
# first of the two files. So this one is required where there is no Falcon, before WEBrick, and only by what looks for a server;
# nothing is loaded before, no constant and no variable is changed. `rackup -s falcon` fails as ever.

# Rack 2 looks for this file alone, which Falcon has too: where both are in the bundle, it is Falcon's that counts.
falcons = $LOAD_PATH.map { |directory| File.join(directory, "rack/handler/falcon.rb") }
                    .find { |file| File.file?(file) && !File.identical?(file, __FILE__) }

if falcons
  require falcons
elsif caller_locations.any? { |place| place.base_label == "pick" } # no server is named
  if defined?(Rackup::Handler)
    require "rackup/handler/tidegate"
    Rackup::Handler.register(:falcon, Rackup::Handler::Tidegate)
  else
    require "rack/handler/tidegate"
    Rack::Handler.register("falcon", Rack::Handler::Tidegate)
  end
else
  raise LoadError, "cannot load such file -- rack/handler/falcon"
end
