# frozen_string_literal: true

# Counts, in the session and in a cookie.
class VisitsController < ApplicationController
  def show
    session[:visits] = session[:visits].to_i + 1
    cookies[:last] = { value: session[:visits], httponly: true }
    render plain: "visit #{session[:visits]}"
  end
end
