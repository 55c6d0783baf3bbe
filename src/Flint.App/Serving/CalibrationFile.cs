using System.Text.Json;
using Flint.Contemplate;

namespace Flint.App.Serving;

/// <summary>A calibration as a JSON file: <c>{"points": [[score, confidence], ...]}</c>.</summary>
public static class CalibrationFile
{
    /// <summary>Ends the name of the file that lies beside a model's.</summary>
    public const string Suffix = ".calibration.json";

    private const int MaxBytes = 1 << 20;

    /// <summary>The calibration beside a model's file; null where there is none.</summary>
    public static Calibration? Beside(string model)
    {
        string path = Path.ChangeExtension(model, null) + Suffix;
        return File.Exists(path) ? Read(path) : null;
    }

    /// <summary>Reads one.</summary>
    /// <exception cref="FlintException">Caller: the file is none.</exception>
    public static Calibration Read(string path)
    {
        if (!File.Exists(path))
            throw FlintException.Caller("file_not_found", $"no such file: {path}");
        try
        {
            if (new FileInfo(path).Length > MaxBytes)
                throw FlintException.Caller("invalid_calibration", $"{path}: a calibration has at most {MaxBytes} bytes");
            using JsonDocument file = JsonDocument.Parse(File.ReadAllBytes(path));
            return new Calibration([.. file.RootElement.GetProperty("points").EnumerateArray().Select(p => new CalibrationPoint(p[0].GetDouble(), p[1].GetDouble()))]);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or IndexOutOfRangeException or FormatException)
        {
            throw new FlintException(FaultSide.Caller, "invalid_calibration", $"{path}: expected {{\"points\": [[score, confidence], ...]}}: {e.Message}", e);
        }
    }

    /// <summary>Writes one.</summary>
    public static void Write(string path, Calibration calibration)
    {
        using FileStream file = File.Create(path);
        using var writer = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteStartArray("points");
        foreach (CalibrationPoint point in calibration.Points)
        {
            writer.WriteStartArray();
            writer.WriteNumberValue(point.Score);
            writer.WriteNumberValue(point.Confidence);
            writer.WriteEndArray();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
