# frozen_string_literal: true

# New notes go to every page that is open, and what one page says to all others.
class NotesChannel < ApplicationCable::Channel
  def subscribed = stream_from("notes")

  def say(data) = ActionCable.server.broadcast("notes", { said: data["text"] })
end
