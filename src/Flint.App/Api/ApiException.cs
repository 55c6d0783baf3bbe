using Flint.App.Accounts;
using Flint.App.Upstreams;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>A refusal: the HTTP status, and the fields of the OpenAI API's error object, of which other APIs tell fewer.</summary>
internal sealed class ApiException : Exception
{
    private ApiException(int status, string type, string? code, string? parameter, string message, Exception? inner = null)
        : base(message, inner)
    {
        Status = status;
        Type = type;
        Code = code;
        Parameter = parameter;
    }

    /// <summary>The HTTP status.</summary>
    public int Status { get; }

    /// <summary>The error's <c>type</c>.</summary>
    public string Type { get; }

    /// <summary>The error's <c>code</c>.</summary>
    public string? Code { get; }

    /// <summary>The error's <c>param</c>: the path of the field at fault, such as <c>messages[0].content</c>.</summary>
    public string? Parameter { get; }

    /// <summary>The message, with <see cref="Parameter"/> before it where it does not name it.</summary>
    public string MessageWithPath => Parameter is null || Message.Contains($"'{Parameter}'", StringComparison.Ordinal) ? Message : $"{Parameter}: {Message}";

    /// <summary>Seconds after which trying again makes sense; null where it does not.</summary>
    public int? RetryAfter { get; private init; }

    /// <summary>400: a field is wrong.</summary>
    public static ApiException Invalid(string? parameter, string code, string message) =>
        new(StatusCodes.Status400BadRequest, "invalid_request_error", code, parameter, message);

    /// <summary>400: the field asks for what this server does not do.</summary>
    public static ApiException Unsupported(string parameter, string message) =>
        Invalid(parameter, "unsupported_parameter", message);

    /// <summary>400: a required field is absent.</summary>
    public static ApiException Missing(string parameter) =>
        Invalid(parameter, "missing_required_parameter", $"Missing required parameter: '{parameter}'.");

    /// <summary>The same in other words.</summary>
    /// <param name="status">The HTTP status.</param>
    /// <param name="type">The error's type.</param>
    /// <param name="code">The error's code.</param>
    public ApiException As(int status, string type, string? code) => new(status, type, code, Parameter, Message, this) { RetryAfter = RetryAfter };

    /// <summary>An error of the request as a whole, with its own status.</summary>
    public static ApiException Request(int status, string? code, string message, string? parameter = null) =>
        new(status, "invalid_request_error", code, parameter, message);

    /// <summary>404: there is no such model.</summary>
    public static ApiException NoModel(string model) =>
        new(StatusCodes.Status404NotFound, "invalid_request_error", "model_not_found", "model", $"The model '{Shorten(model)}' does not exist or you do not have access to it.");

    /// <summary>503: the server is about to stop.</summary>
    public static ApiException Stopping() =>
        new(StatusCodes.Status503ServiceUnavailable, "server_error", "server_stopping", null, "The server is shutting down.") { RetryAfter = 5 };

    /// <summary>
    /// Any failure in these terms. What the caller did wrong or may try again keeps its sentence; a fault of ours does not tell
    /// its insides.
    /// </summary>
    /// <param name="error">What was thrown.</param>
    /// <param name="promptParameter">The field that holds the prompt, named where the prompt is too long.</param>
    public static ApiException From(Exception error, string? promptParameter)
    {
        switch (error)
        {
            case ApiException own:
                return own;
            case BadHttpRequestException bad when bad.StatusCode == StatusCodes.Status413PayloadTooLarge:
                return TooLarge();
            case BadHttpRequestException bad when bad.StatusCode == StatusCodes.Status408RequestTimeout:
                return TooSlow();
            case BadHttpRequestException bad:
                return new(bad.StatusCode, "invalid_request_error", "bad_request", null, bad.Message, bad);
            case FlintException { Side: FaultSide.Caller } fault:
                return new(StatusCodes.Status400BadRequest, "invalid_request_error", fault.Code, promptParameter, fault.Message, fault);
            case FlintException { Code: "shutting_down" }:
                return Stopping();
            case FlintException { Side: FaultSide.Limit } fault:
                return new(StatusCodes.Status429TooManyRequests, fault.Code == "insufficient_quota" ? fault.Code : "rate_limit_error", fault.Code, null, fault.Message, fault)
                {
                    RetryAfter = SecondsOf(fault, 1),
                };
            case FlintException { Code: UpstreamFault.FailedCode } fault:
                return new(StatusCodes.Status502BadGateway, "server_error", fault.Code, null, fault.Message, fault);
            case FlintException { Code: UpstreamFault.TimeoutCode } fault:
                return new(StatusCodes.Status504GatewayTimeout, "server_error", fault.Code, null, fault.Message, fault);
            case FlintException { Code: UpstreamFault.UnavailableCode } fault:
                return new(StatusCodes.Status503ServiceUnavailable, "server_error", fault.Code, null, fault.Message, fault) { RetryAfter = SecondsOf(fault, 5) };
            case FlintException { Code: StoreWriter.FailedCode } fault: // what cannot be metered is not answered
                return new(StatusCodes.Status503ServiceUnavailable, "server_error", fault.Code, null, "The usage of this request cannot be recorded now.", fault) { RetryAfter = 5 };
            case FlintException { Code: Store.UnavailableCode or Reservations.LostCode } fault: // nor whose key cannot be found, or whose budget is not held
                return new(StatusCodes.Status503ServiceUnavailable, "server_error", fault.Code, null, "The accounts of this server cannot be used now.", fault) { RetryAfter = 5 };
            case FlintException { Code: Classifier.FailedCode } fault:
                return new(StatusCodes.Status503ServiceUnavailable, "server_error", fault.Code, null, fault.Message, fault) { RetryAfter = SecondsOf(fault, 5) };
            case FlintException { Side: FaultSide.Machine } fault:
                return new(StatusCodes.Status500InternalServerError, "server_error", fault.Code, null, fault.Message, fault);
            default:
                return new(StatusCodes.Status500InternalServerError, "server_error", "internal_error", null, "The server had an error while processing your request.", error);
        }
    }

    /// <summary>
    /// A failure as whoever runs the server reads it: what is broken elsewhere, and may befall every request of a minute, in a line with
    /// its cause; our own faults whole.
    /// </summary>
    public static string Describe(Exception error)
    {
        if (From(error, null).Status == StatusCodes.Status500InternalServerError)
            return error.ToString();
        return error.InnerException is { } cause && !error.Message.Contains(cause.Message, StringComparison.Ordinal) ? $"{error.Message} {cause.Message}" : error.Message;
    }

    /// <summary>413: the body is over its limit.</summary>
    public static ApiException TooLarge() =>
        Request(StatusCodes.Status413PayloadTooLarge, "request_too_large", $"The request body is larger than the limit of {ApiLimits.MaxBodyBytes} bytes.");

    /// <summary>408: the body is not there in time.</summary>
    public static ApiException TooSlow() =>
        Request(StatusCodes.Status408RequestTimeout, "request_timeout", $"The request body came too slowly: it must be there within {ApiLimits.BodySeconds} seconds.");

    /// <summary>503: the bodies of other requests take all that bodies may.</summary>
    public static ApiException Busy() =>
        new(StatusCodes.Status503ServiceUnavailable, "server_error", "server_busy", null, "The server is reading as many large requests as it can.") { RetryAfter = 1 };

    private static int SecondsOf(FlintException fault, int otherwise) => Math.Max(1, (int)Math.Ceiling(fault.RetryAfter?.TotalSeconds ?? otherwise));

    /// <summary>A caller's text as it may be quoted in a message.</summary>
    public static string Shorten(string text) => text.Length <= 100 ? text : text[..100] + "…";
}
