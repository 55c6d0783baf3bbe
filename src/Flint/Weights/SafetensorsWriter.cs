using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Flint.Weights;

/// <summary>Writes safetensors files of binary32 tensors.</summary>
public static class SafetensorsWriter
{
    /// <summary>Data begins at a multiple of this, as other writers have it.</summary>
    private const int Alignment = 8;

    /// <summary>Writes a file.</summary>
    /// <param name="stream">Where to.</param>
    /// <param name="tensors">Names, each once; shapes with the contiguous dimension last, as the format has them; the values.</param>
    public static void Write(Stream stream, IReadOnlyList<(string Name, long[] Shape, float[] Values)> tensors)
    {
        byte[] table = Table(tensors);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)table.Length);
        stream.Write(length);
        stream.Write(table);
        foreach ((_, _, float[] values) in tensors)
            stream.Write(MemoryMarshal.AsBytes<float>(values));
    }

    private static byte[] Table(IReadOnlyList<(string Name, long[] Shape, float[] Values)> tensors)
    {
        using MemoryStream bytes = new();
        using (Utf8JsonWriter json = new(bytes))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            json.WriteString("format", "pt"); // what readers of other frameworks look for
            json.WriteEndObject();
            long offset = 0;
            foreach ((string name, long[] shape, float[] values) in tensors)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", "F32");
                json.WriteStartArray("shape");
                foreach (long n in shape)
                    json.WriteNumberValue(n);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += (long)values.Length * sizeof(float));
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (bytes.Length % Alignment != 0)
            bytes.WriteByte((byte)' ');
        return bytes.ToArray();
    }
}
